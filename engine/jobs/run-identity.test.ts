/** A resumed run keeps the date, the files and the tokens that it began with. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { Problem } from '../problem.ts';
import { runEvaluate } from './evaluate.ts';
import { runExport } from './export.ts';
import { silentPort } from '../testing/port.ts';
import { saidIn } from '../testing/run-events.ts';
import type { RunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const work = mkdtempSync(join(tmpdir(), 'identity-'));
afterAll(() => rmSync(work, { recursive: true }));
const cacheDir = join(work, 'cache');

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(new Date('2026-07-15T12:00:00Z'));
});
afterEach(() => void vi.useRealTimers());

let count = 0;
/** Copies a small model whose template prints the date; its files can be changed. */
function newModel(): string {
  const folder = join(work, `model-${count++}`);
  cpSync(join(import.meta.dirname, '../../resources/tiny/model'), folder, { recursive: true });
  const template = readFileSync(join(folder, 'chat_template.jinja'), 'utf8');
  const dated = template.replace('{{ bos_token }}', '{{ bos_token }}Today is {{ strftime_now("%d %B %Y") }}.\n');
  expect(dated).not.toBe(template);
  writeFileSync(join(folder, 'chat_template.jinja'), dated);
  return folder;
}
function newFile(lines: readonly unknown[]): string {
  const path = join(work, `rows-${count++}.jsonl`);
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
}
const chats = (answer: string) =>
  Array.from({ length: 4 }, (_, i) => ({
    messages: [
      { role: 'user', content: `What is ${i} and ${i}?` },
      { role: 'assistant', content: `${answer} ${2 * i}.` },
    ],
  }));
const data = newFile(chats('It is'));

function newSpec(modelPath: string, changes: Partial<TrainSpec> = {}): TrainSpec {
  return {
    ...{ kind: 'train', model: { path: modelPath }, data: { paths: [data] }, adapterPath: null, device: 'auto' },
    recipe: { rank: 2, maxSteps: 2, batchSize: 2, schedule: 'constant', warmupSteps: 0, learningRate: 0.01, evalEvery: 0 },
    ...{ out: join(work, `run-${count++}`), skipBadRows: false, resume: false, cacheDir },
    ...changes,
  };
}
/** Returns the same run, to be resumed. */
const further = (spec: TrainSpec, changes: Partial<TrainSpec> = {}): TrainSpec => ({
  ...spec,
  resume: true,
  recipe: { maxSteps: 4 },
  ...changes,
});
const recordPath = (spec: TrainSpec) => join(spec.out, 'run.json');
const recordOf = (spec: TrainSpec) => JSON.parse(readFileSync(recordPath(spec), 'utf8')) as RunRecord;
const adapterOf = (spec: TrainSpec) => readFileSync(join(spec.out, 'adapter/adapter_model.safetensors'));
function changeJson(path: string, change: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(value);
  writeFileSync(path, JSON.stringify(value));
}
async function problemOf(work: Promise<unknown>): Promise<Problem> {
  const error: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (error instanceof Problem) return error;
  throw error ?? new Error('no problem was thrown');
}

describe('the day of a run', () => {
  it('stays the one it began on: another day changes no bit, and no evaluation of its adapter', async () => {
    const model = newModel();
    const [whole, parted] = [newSpec(model), newSpec(model)];
    await runTrain({ ...whole, recipe: { ...whole.recipe, maxSteps: 4 } }, silentPort);
    await runTrain(parted, silentPort);
    expect(recordOf(parted).day).toBe('2026-07-15');
    expect(saidIn(parted.out).join()).toContain('The chat template prints the date. This run uses 2026-07-15');
    const evaluate = (adapterPath: string | null) =>
      runEvaluate({ kind: 'evaluate', model: { path: model }, data: { paths: [data] }, adapterPath, cacheDir }, silentPort);
    const checkpoint = join(whole.out, 'checkpoints/step-000004');
    const before = await evaluate(whole.out + '/adapter');
    const base = await evaluate(null);

    vi.setSystemTime(new Date('2026-12-24T12:00:00Z'));
    await runTrain(further(parted), silentPort);
    expect(recordOf(parted).day).toBe('2026-07-15');
    expect(adapterOf(parted).equals(adapterOf(whole))).toBe(true);
    expect(await evaluate(whole.out + '/adapter')).toEqual(before);
    expect(await evaluate(checkpoint)).toEqual(before);
    // The base belongs to no run.
    expect((await evaluate(null)).measures.loss).not.toEqual(base.measures.loss);
  });

  it('is that of the first step in records that lack it, and is then said', async () => {
    const model = newModel();
    const [whole, old] = [newSpec(model), newSpec(model)];
    await runTrain({ ...whole, recipe: { ...whole.recipe, maxSteps: 4 } }, silentPort);
    await runTrain(old, silentPort);
    const { day: _, tokenizerHash: __, data: given, base, ...rest } = recordOf(old);
    const { tokensHash: ___, ...dataLeft } = given;
    const { configHash: ____, ...baseLeft } = base;
    writeFileSync(recordPath(old), JSON.stringify({ ...rest, base: baseLeft, data: dataLeft }));
    vi.setSystemTime(new Date('2026-12-24T12:00:00Z'));
    await runTrain(further(old), silentPort);
    expect(saidIn(old.out).join()).toContain('did not record tokens, tokenizer and date');
    expect(saidIn(old.out).join()).toContain('Chat templates print 2026-07-15');
    expect(adapterOf(old).equals(adapterOf(whole))).toBe(true);
    expect(recordOf(old)).toMatchObject({ day: '2026-07-15', data: recordOf(whole).data });
  });

  it('is what a proof of its adapter is made with', async () => {
    const model = newModel();
    const spec = newSpec(model, { data: { paths: [data], evalPaths: [newFile(chats('Well,'))] } });
    await runTrain(spec, silentPort);
    vi.setSystemTime(new Date('2026-12-24T12:00:00Z'));
    const out = join(work, 'ollama');
    const result = await runExport(
      {
        ...{ kind: 'export', model: { path: model }, adapters: [{ path: join(spec.out, 'adapter'), weight: 1 }] },
        ...{ format: 'ollama', quantization: 'f16', out, proof: true, rows: { data: spec.data, split: 'eval' }, cacheDir },
      },
      silentPort,
    );
    expect(result.proof).toMatchObject({ passed: true });
    expect(readFileSync(join(out, 'Modelfile'), 'utf8')).toMatch(
      /^# The date in the TEMPLATE is fixed: 2026-07-15[^]*Today is 15 July 2026\.$/m,
    );
  });
});

describe('a run goes on with nothing else than it began with', () => {
  const began = async (changes: Partial<TrainSpec> = {}) => {
    const model = newModel();
    const spec = newSpec(model, changes);
    await runTrain(spec, silentPort);
    return { model, spec };
  };
  const refusal = async (spec: TrainSpec) => (await problemOf(runTrain(further(spec), silentPort))).message;

  it('not with another config.json', async () => {
    const { model, spec } = await began();
    changeJson(join(model, 'config.json'), (config) => (config['rope_theta'] = 20_000));
    expect(await refusal(spec)).toContain('The config.json of the model has changed');
  });

  it('not with another tokenizer, or other ends of an answer', async () => {
    const { model, spec } = await began();
    const [tokenizer, generation] = [join(model, 'tokenizer.json'), join(model, 'generation_config.json')];
    const kept = readFileSync(tokenizer);
    changeJson(tokenizer, (json) => {
      const { vocab } = json['model'] as { vocab: Record<string, number> };
      [vocab['e'], vocab['t']] = [vocab['t']!, vocab['e']!];
    });
    expect(await refusal(spec)).toContain('The tokenizer has changed');
    writeFileSync(tokenizer, kept);
    changeJson(generation, (json) => (json['eos_token_id'] = [1, 7]));
    expect(await refusal(spec)).toContain('The tokenizer has changed');
  });

  it('not with another chat template', async () => {
    const { model, spec } = await began();
    writeFileSync(join(model, 'chat_template.jinja'), '{% for message in messages %}{{ message.content }}{% endfor %}');
    expect(await refusal(spec)).toContain('The chat template has changed');
  });

  it('not with other rows to evaluate, though without any, which is said', async () => {
    const evalPaths = [newFile(chats('Well,'))];
    const { spec } = await began({ data: { paths: [data], evalPaths } });
    expect(await refusal({ ...spec, data: { paths: [data], evalPaths: [newFile(chats('Hm,'))] } })).toContain(
      'The evaluation data has changed',
    );
    await runTrain(further(spec, { data: { paths: [data] }, recipe: { maxSteps: 3 } }), silentPort);
    expect(saidIn(spec.out).join()).toContain('was evaluated before. From here on it is not');
    expect(recordOf(spec).evaluation).not.toBeNull();
    expect(await refusal({ ...spec, data: { paths: [data], evalPaths: [newFile(chats('Hm,'))] } })).toContain(
      'The evaluation data has changed',
    );
    await runTrain(further(spec), silentPort);
    const { spec: without } = await began();
    await runTrain(further(without, { data: { paths: [data], evalPaths } }), silentPort);
    expect(saidIn(without.out).join()).toContain('was not evaluated before. From here on it is.');
    expect(recordOf(without).evaluation).not.toBeNull();
  });

  it('not with files that have changed meanwhile, which are named though no version says what they were', async () => {
    const paths = [newFile(chats('It is')), newFile(chats('Well,'))];
    const evalPaths = [newFile(chats('Hm,'))];
    const { spec } = await began({ data: { paths, evalPaths } });
    const changing = async (path: string) => {
      const kept = readFileSync(path);
      writeFileSync(path, kept.toString().replace('What', 'Who'));
      const problem = await problemOf(runTrain(further(spec), silentPort));
      writeFileSync(path, kept);
      return problem;
    };
    for (const path of [...paths, ...evalPaths])
      expect(await changing(path)).toMatchObject({
        code: 'data-changed',
        message: `${path} has changed since the run was started.`,
      });
    // A record of an earlier version has one hash of all files: it names the one that a run has, and no other.
    const kept = readFileSync(recordPath(spec));
    changeJson(recordPath(spec), (record) => {
      for (const part of ['data', 'evaluation']) delete (record[part] as { hashes?: unknown }).hashes;
    });
    expect((await changing(paths[1]!)).message).toContain('The data has changed');
    expect(await changing(evalPaths[0]!)).toMatchObject({ code: 'data-changed' });
    writeFileSync(recordPath(spec), kept);
    await runTrain(further(spec), silentPort);
  });

  it('not with other tokens, whatever has made them', async () => {
    const { spec } = await began();
    const kept = readFileSync(recordPath(spec));
    changeJson(recordPath(spec), (record) => (record['day'] = '2026-07-16'));
    expect(await refusal(spec)).toMatch(
      /The same files now give different tokens than when the run was started with Lowrank Studio/,
    );
    writeFileSync(recordPath(spec), kept);
    await runTrain(further(spec), silentPort);

    const mixed = newFile([...chats('It is'), { messages: [] }]);
    const skipping = newSpec(spec.model.path, { data: { paths: [mixed] }, skipBadRows: true });
    await runTrain(skipping, silentPort);
    changeJson(recordPath(skipping), (record) => Object.assign(record['data'] as object, { rows: 5, tokensHash: 'other' }));
    expect(await refusal(skipping)).toContain('now give 4 rows instead of the 5');
  });

  it('for fewer steps than it has made', async () => {
    const { spec } = await began();
    const problem = await problemOf(runTrain(further(spec, { recipe: { maxSteps: 1 } }), silentPort));
    expect(problem).toMatchObject({ code: 'recipe-invalid' });
    expect(problem.message).toContain('has already made 2 steps');
  });

  it('and says that its learning rate goes another way when it becomes longer', async () => {
    const { spec } = await began({ recipe: { rank: 2, maxSteps: 3, batchSize: 2, schedule: 'linear', warmupSteps: 0 } });
    await runTrain(further(spec, { recipe: { maxSteps: 6 } }), silentPort);
    expect(saidIn(spec.out).join()).toContain('The run now has 6 steps instead of 3. From step 3 on, the learning rate');
    await runTrain(further(spec, { recipe: {} }), silentPort);
    expect(saidIn(spec.out).join()).not.toContain('the learning rate');
  });
});
