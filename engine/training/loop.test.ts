import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StepMetrics } from '../contract.ts';
import { specFromConfig } from '../models/families/index.ts';
import { Problem } from '../problem.ts';
import type { RecipeInput } from '../recipe.ts';
import { checkRecipe } from '../recipe/check.ts';
import { killedAt } from '../testing/killed-at.ts';
import { labelWithoutLoss, quadratic } from '../testing/quadratic.ts';
import { loadCheckpoint, newestCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { examplesOf, type TokensOfRow } from './examples.ts';
import { train } from './loop.ts';
import { newAdapter } from '../adapters/initial.ts';
import { objectives } from './objectives/index.ts';
import { newAdamState } from './optimizer.ts';
import { resumedPlan, type ComputePlan } from './compute-plan.ts';

const spec = specFromConfig(
  {
    model_type: 'llama',
    hidden_size: 4,
    intermediate_size: 6,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    vocab_size: 100,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  },
  'config.json',
);
/** Adapters of factors alone need nothing of the weights. */
const unread = { spec, weights: { read: () => new Float32Array() } };
const rows: TokensOfRow[] = Array.from({ length: 7 }, (_, i) => ({
  index: i,
  file: 'rows.jsonl',
  line: i + 1,
  inputIds: Int32Array.from({ length: 3 + (i % 3) }, (_, t) => 10 * i + t),
  labels: Int32Array.from({ length: 3 + (i % 3) }, (_, t) => (t === 0 || (t + i) % 4 === 0 ? -100 : 10 * i + t)),
}));
const plan: ComputePlan = {
  ...{ provider: 'cpu', threads: 4, headRows: 128, attentionBlocks: 1, packing: false, recompute: 3 },
  processor: 'one',
  versions: { studio: '1' },
};
const base: RecipeInput = {
  rank: 2,
  batchSize: 2,
  gradientAccumulation: 2,
  maxSteps: 6,
  learningRate: 0.05,
  warmupSteps: 1,
  weightDecay: 0.01,
  evalEvery: 2,
  saveEvery: 2,
  packing: false,
};

/** One session of a run in `dir`: from its newest checkpoint, until the end or until `stopAfter` opportunities to stop have passed. */
async function session(dir: string, input: RecipeInput, options: { stopAfter?: number; rows?: TokensOfRow[] } = {}) {
  const checked = checkRecipe({ ...base, ...input });
  if ('errors' in checked) throw new Error(checked.errors[0]!.message);
  const { recipe } = checked;
  const newest = newestCheckpoint(dir).whole;
  const state = newest ? loadCheckpoint(newest, unread) : null;
  const adapter = state?.adapter ?? newAdapter(recipe, unread, null);
  const adam = state?.adam ?? newAdamState(adapter.parameters.length);
  const steps: StepMetrics[] = [];
  const evaluations = new Map<number, number>();
  let opportunities = 0;
  const problem = await train({
    step: quadratic,
    recipe,
    objective: objectives.sft,
    examples: examplesOf(options.rows ?? rows),
    evalExamples: examplesOf(rows.slice(0, 3)),
    parameters: adapter.parameters,
    adam,
    stepsDone: state?.step ?? 0,
    totalSteps: recipe.maxSteps,
    evaluated: false,
    stopRequested: () => opportunities++ >= (options.stopAfter ?? Infinity),
    onEvaluating: () => {},
    onStep: (metrics) => steps.push(metrics),
    onEvaluation: ({ step, evalLoss }) => evaluations.set(step, evalLoss),
    save: (step) => saveCheckpoint(dir, { step, seconds: 0, adapter, adam, plan }, recipe.keepCheckpoints),
  }).then(
    () => null,
    (error: unknown) => {
      if (error instanceof Problem) return error;
      throw error;
    },
  );
  return { parameters: adapter.parameters, adam, steps, evaluations, problem };
}

/** What must be equal, leaving out how long it took. */
function numbers(steps: readonly StepMetrics[]) {
  return steps.map(({ step, loss, learningRate, gradientNorm, supervisedTokens, tokens, epoch }) => ({
    step,
    loss,
    learningRate,
    gradientNorm,
    supervisedTokens,
    tokens,
    epoch,
  }));
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'loop-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('train', () => {
  it('learns, and reports every step, evaluation and checkpoint', async () => {
    const { steps, evaluations, problem } = await session(folder, {});
    expect(problem).toBeNull();
    expect(steps.map((step) => step.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(steps[0]!.learningRate).toBe(0);
    expect([...evaluations.keys()]).toEqual([0, 2, 4, 6]);
    expect(evaluations.get(6)!).toBeLessThan(evaluations.get(0)!);
    expect(readdirSync(folder).sort()).toEqual(['step-000004', 'step-000006']);
  });

  it('weighs every supervised token alike, however a step is cut into micro-batches', async () => {
    const parts = await session(join(folder, 'a'), { batchSize: 1, gradientAccumulation: 4 });
    const whole = await session(join(folder, 'b'), { batchSize: 4, gradientAccumulation: 1 });
    parts.steps.forEach((step, i) => {
      expect(step.loss).toBeCloseTo(whole.steps[i]!.loss, 5);
      expect(step.gradientNorm).toBeCloseTo(whole.steps[i]!.gradientNorm, 5);
      expect(step.supervisedTokens).toBe(whole.steps[i]!.supervisedTokens);
    });
    parts.parameters.forEach((value, i) => expect(value).toBeCloseTo(whole.parameters[i]!, 5));
  });

  it('stopped anywhere, also between micro-batches and evaluations, goes on bit for bit as if it had not been', async () => {
    const reference = await session(join(folder, 'whole'), {});
    let stopped = 0;
    for (let stopAfter = 0; ; stopAfter++) {
      const dir = join(folder, `stop-${stopAfter}`);
      const first = await session(dir, {}, { stopAfter });
      if (first.problem === null) break;
      stopped += 1;
      expect(first.problem.code).toBe('stopped');
      const second = await session(dir, {});
      expect(second.parameters).toEqual(reference.parameters);
      expect(second.adam).toEqual(reference.adam);
      expect(numbers([...first.steps, ...second.steps])).toEqual(numbers(reference.steps));
      expect(new Map([...first.evaluations, ...second.evaluations])).toEqual(reference.evaluations);
    }
    expect(stopped).toBe(6 * 2 + 4 * 2);
  });

  it('ends at a loss that is not finite, naming step and row, with the last checkpoint kept', async () => {
    const poisoned = rows.map((row, i) =>
      i === 5 ? { ...row, labels: row.labels.map((label) => (label > 0 ? labelWithoutLoss : label)) } : row,
    );
    const { problem, steps } = await session(folder, { shuffle: false, saveEvery: 1 }, { rows: poisoned });
    expect(problem?.code).toBe('loss-not-finite');
    expect(problem?.message).toContain('Step 2');
    expect(problem?.message).toContain('rows.jsonl, line 6.');
    expect(steps).toHaveLength(1);
    expect(newestCheckpoint(folder).whole).toBe(join(folder, 'step-000001'));
  });

  it('ends when the update itself runs away', async () => {
    const { problem } = await session(folder, {
      learningRate: 1,
      weightDecay: 0,
      warmupSteps: 0,
      epsilon: 0,
      maxGradientNorm: 1e-44,
    });
    expect(problem?.code).toBe('loss-not-finite');
    expect(newestCheckpoint(folder).whole).toBeNull();
  });
});

describe('checkpoints', () => {
  const damages: [string, (path: string) => void][] = [
    ['a missing file', (path) => rmSync(join(path, 'optimizer.safetensors'))],
    ['a file cut off', (path) => truncateSync(join(path, 'adapter_model.safetensors'), 100)],
    ['no state', (path) => rmSync(join(path, 'state.json'))],
    ['a state cut off', (path) => truncateSync(join(path, 'state.json'), 40)],
    [
      'one digit of the state changed',
      (path) => {
        const state = readFileSync(join(path, 'state.json'), 'utf8');
        writeFileSync(join(path, 'state.json'), state.replace('"threads": 4', '"threads": 5'));
      },
    ],
    ['nothing in it', (path) => (rmSync(path, { recursive: true }), mkdirSync(path))],
    [
      'one bit flipped',
      (path) => {
        const content = readFileSync(join(path, 'optimizer.safetensors'));
        content[content.length - 3]! ^= 1;
        writeFileSync(join(path, 'optimizer.safetensors'), content);
      },
    ],
  ];

  it.each(damages)('with %s are passed over for the one before, and the run ends as it would have', async (_, damage) => {
    const reference = await session(folder, {});
    damage(join(folder, 'step-000006'));
    const [whole, damaged] = [join(folder, 'step-000004'), [join(folder, 'step-000006')]];
    expect(newestCheckpoint(folder)).toEqual({ whole, damaged, ofAnother: [] });
    const again = await session(folder, {});
    expect(again.parameters).toEqual(reference.parameters);
    expect(newestCheckpoint(folder).whole).toBe(join(folder, 'step-000006'));
  });

  it('are whole after a kill at every change of the disk: the one before, or the new one', async () => {
    await session(folder, {});
    const state = { ...loadCheckpoint(join(folder, 'step-000006'), unread), step: 8 };
    const save = (dir: string) => Promise.resolve().then(() => saveCheckpoint(dir, state, 2));
    const begin = (name: string): string => {
      const dir = join(folder, name);
      for (const step of ['step-000004', 'step-000006']) cpSync(join(folder, step), join(dir, step), { recursive: true });
      return dir;
    };
    const { changes } = await killedAt(Infinity, () => save(begin('whole')));
    expect(changes).toBeGreaterThan(15);
    for (let at = 1; at <= changes; at++) {
      const dir = begin(`killed-${at}`);
      expect((await killedAt(at, () => save(dir))).finished).toBe(false);
      const { whole, damaged } = newestCheckpoint(dir);
      expect([damaged, [join(dir, 'step-000006'), join(dir, 'step-000008')].includes(whole!)], `${at}`).toEqual([[], true]);
      expect(loadCheckpoint(whole!, unread).adam.mean).toEqual(state.adam.mean);
      await save(dir);
      // One that is too old may stay until the next is saved.
      expect(readdirSync(dir).sort().slice(-2), `${at}`).toEqual(['step-000006', 'step-000008']);
    }
  });

  it('half written by a killed process are removed', async () => {
    await session(folder, {});
    cpSync(join(folder, 'step-000004'), join(folder, '.partial-step-000008-4711'), { recursive: true });
    expect(newestCheckpoint(folder).whole).toBe(join(folder, 'step-000006'));
    expect(readdirSync(folder).sort()).toEqual(['step-000004', 'step-000006']);
  });

  it('hold the plan a run goes on with, whatever this machine would do now', async () => {
    await session(folder, {});
    const stored = loadCheckpoint(newestCheckpoint(folder).whole!, unread).plan;
    expect(stored).toEqual(plan);
    expect(resumedPlan(stored, plan)).toEqual({ plan, notExact: [], notes: [] });
    const here = { ...plan, threads: 2, headRows: 64, recompute: 0, processor: 'two', versions: { studio: '2' } };
    const { plan: used, notExact, notes } = resumedPlan(stored, here);
    expect(used).toEqual({ ...plan, processor: 'two', versions: { studio: '2' } });
    expect(notExact).toEqual(['the processor was one and now is two', 'studio was 1 and now is 2']);
    expect(notes).toEqual(['It keeps to 4 threads, as it began, where 2 would be used now.']);
    const elsewhere = resumedPlan(stored, { ...plan, provider: 'webgpu' });
    expect(elsewhere.plan.provider).toBe('webgpu');
    expect(elsewhere.notExact).toEqual(['it was computed on cpu and now is on webgpu']);
  });
});
