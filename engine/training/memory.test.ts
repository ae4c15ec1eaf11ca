import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newAdapter } from '../adapters/initial.ts';
import { runOrder } from '../graph/liveness.ts';
import { openModel } from '../models/open.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import { checkRecipe } from '../recipe/check.ts';
import { embeddedModelPath } from '../resources.ts';
import { openSession } from '../runtime/session.ts';
import { fitRecipe } from './fitting.ts';
import { MemoryEstimator } from './memory.ts';
import { buildStep } from './step-graph.ts';
import { TrainStep } from './step.ts';

const recipeOf = (recipe: RecipeInput): Recipe => {
  const checked = checkRecipe(recipe);
  if ('errors' in checked) throw new Error(checked.errors[0]!.message);
  return checked.recipe;
};

describe('the estimate', () => {
  const estimator = new MemoryEstimator(openModel(embeddedModelPath()));
  const usual = recipeOf({ rank: 16, batchSize: 1, gradientAccumulation: 2, packing: false });
  const estimate = (changed: RecipeInput, longest: number) => estimator.estimate(recipeOf({ ...usual, ...changed }), longest);

  it('counts every weight once, tied ones too, and less of those in few bits', async () => {
    const { base } = await estimate({}, 512);
    expect(base).toBe(4 * 134_515_008);
    const matrices = 30 * 576 * (2 * 576 + 2 * 192 + 3 * 1536);
    const packed = (await estimate({ baseQuantization: '4bit' }, 512)).base;
    expect(base - packed).toBeGreaterThan((4 - 0.6 * 2) * matrices);
  });

  it('counts a base as it is stored with embedding and head, not much more than its file', async () => {
    const { base, activations } = await estimate({ baseQuantization: 'stored' }, 512);
    expect(base / statSync(embeddedModelPath()).size).toBeLessThan(1.3);
    expect(activations).toBeLessThan(1.1 * (await estimate({}, 512)).activations);
  });

  it('grows with tokens and shrinks with every block that is recomputed', async () => {
    const one = await estimate({}, 512);
    expect((await estimate({ batchSize: 3 }, 512)).activations / one.activations).toBeCloseTo(3, 1);
    let last = one.activations;
    for (const recompute of [5, 20, 30]) {
      const { activations } = await estimate({ recompute }, 512);
      expect(activations).toBeLessThan(last);
      last = activations;
    }
    expect(last).toBeLessThan(one.activations / 5);
    expect((await estimate({ recompute: 1000 }, 512)).activations).toBe(last);
  });

  it('has the logits of one chunk once, however many tokens there are', async () => {
    const of = async (changed: RecipeInput, longest: number) => (await estimate({ recompute: 30, ...changed }, longest)).logits;
    const chunk = 4 * 49_152 * 256;
    // The last chunk is as long as the others, so they may be a little shorter than asked for.
    for (const logits of [await of({}, 300), await of({}, 512)]) {
      expect(logits).toBeLessThan(1.03 * chunk);
      expect(logits).toBeGreaterThan(0.55 * chunk);
    }
    expect(await of({ headRows: 64 }, 512)).toBeLessThan((1.05 * chunk) / 4);
  });

  it('is linear in the length of rows, but for their masks and what waits between layers', async () => {
    const of = async (longest: number) => (await estimate({ recompute: 0 }, longest)).activations / longest;
    expect((await of(4096)) / (await of(1024))).toBeLessThan(1.3);
  });

  it('counts what a step does besides arithmetic: it does not grow unseen', () => {
    const { nodes, copies, allocations, peakBytes } = estimator.counts(usual, 512);
    expect(nodes).toBeLessThanOrEqual(7_700);
    expect(copies).toBeLessThanOrEqual(1_080);
    expect(allocations).toBeLessThanOrEqual(970);
    expect(peakBytes).toBeLessThanOrEqual(450e6);
  });

  it('takes packed rows for as many as lie end to end', async () => {
    const packed = (changed: RecipeInput, longest: number) => estimate({ packing: true, ...changed }, longest);
    expect((await packed({ batchSize: 8 }, 100)).activations).toBe((await packed({ batchSize: 1 }, 256)).activations);
    expect((await packed({}, 100)).activations).toBeLessThan(0.6 * (await packed({}, 400)).activations);
  });
});

it('knows the order in which the runtime runs a step', async () => {
  const model = openModel(join(import.meta.dirname, '../golden/llama-tied/model'));
  const work = mkdtempSync(join(tmpdir(), 'order-'));
  try {
    const recipe = recipeOf({ rank: 2, recompute: 1 });
    const adapter = newAdapter(recipe, model, null);
    const options = { recompute: 1, attentionBlocks: 2, threads: 1, cacheDir: work };
    const step = await TrainStep.open(model, adapter.shape, {
      ...options,
      openSession: (bytes, given) => openSession(bytes, { ...given, profile: join(work, 'profile') }),
    });
    const ids = Int32Array.from({ length: 16 }, (_, i) => i + 1);
    await step.gradient({ inputIds: ids, labels: ids, batch: 1, time: 16, lengths: [16] }, adapter.parameters);
    await step.release();
    const profile = readdirSync(work).find((name) => name.startsWith('profile'))!;
    const events = JSON.parse(readFileSync(join(work, profile), 'utf8')) as { cat: string; name: string; ts: number }[];
    const ran = events
      .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time') && !name.includes('/chunk/'))
      .sort((a, b) => a.ts - b.ts)
      .map(({ name }) => name.replace(/_kernel_time$/, ''));
    const graph = buildStep(model.spec, model.weights.locations(work), adapter.shape, 'gradient', options);
    expect(ran.length).toBeGreaterThan(300);
    expect(runOrder(graph).map(({ name }) => name)).toEqual(ran);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

describe('making it fit', () => {
  const subject = { layers: 12, longest: 1024, tokensBehind: (length: number) => length / 4096 };
  const recipe = recipeOf({ batchSize: 4, gradientAccumulation: 2, maxLength: 2048, headRows: 256 });
  /** As a model might take it: each setting with a share of its own. */
  const bytesOf = (r: Recipe, longest: number) =>
    Promise.resolve(
      (r.baseQuantization === 'none' ? 1000 : r.baseQuantization === '8bit' ? 400 : 250) +
        r.headRows +
        ((r.batchSize * longest) / 4) * (1 - 0.9 * Math.min(1, r.recompute / 12)),
    );
  const fit = (budget: number) => fitRecipe(recipe, subject, budget, bytesOf);
  const keys = async (budget: number) => (await fit(budget)).changes.map(({ key }) => key);

  it('changes nothing where there is room', async () => {
    expect(await fit(1e9)).toMatchObject({ recipe, changes: [] });
  });

  it('takes what costs least first, and no more of it than it must', async () => {
    expect(await keys(2200)).toEqual(['batchSize', 'gradientAccumulation']);
    expect((await fit(2200)).recipe).toMatchObject({ batchSize: 2, gradientAccumulation: 4 });
    expect(await keys(1350)).toEqual(['batchSize', 'gradientAccumulation', 'headRows']);
    const some = await fit(1200);
    expect(some.recipe.recompute).toBeGreaterThan(0);
    expect(some.recipe.recompute).toBeLessThan(12);
    expect(some.bytes).toBeLessThanOrEqual(1200);
    expect(await keys(1050)).toEqual(['batchSize', 'gradientAccumulation', 'headRows', 'recompute', 'maxLength']);
    expect(await keys(500)).toContain('baseQuantization');
  });

  it('says what each change costs, and what it came to', async () => {
    const { changes, bytes } = await fit(500);
    for (const { cost } of changes) expect(cost).toMatch(/^[A-Z].*[.]$/);
    expect(changes.map((change) => change.bytes)).toEqual(changes.map((change) => change.bytes).toSorted((a, b) => b - a));
    expect(changes.at(-1)).toMatchObject({ key: 'baseQuantization', from: 'none', to: '8bit', bytes });
    expect(changes.find(({ key }) => key === 'maxLength')!.cost).toContain('% of the tokens are not learned from');
  });

  it('comes back with the least there is when nothing is enough', async () => {
    const { bytes, recipe: least } = await fit(1);
    expect(bytes).toBeGreaterThan(1);
    expect(least).toMatchObject({
      batchSize: 1,
      gradientAccumulation: 8,
      recompute: 12,
      maxLength: 128,
      baseQuantization: '4bit',
    });
  });
});
