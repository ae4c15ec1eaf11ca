/**
 * A training job writes its folder, refuses what cannot be trained, and is resumed; engine/training/golden.test.ts checks the
 * numbers.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobMessage, JobSpec, MetricRow } from '../contract.ts';
import { processIdentity } from '../lock.ts';
import { Problem } from '../problem.ts';
import { openModel } from '../models/open.ts';
import { loadCheckpoint, saveCheckpoint } from '../training/checkpoint.ts';
import { readManifest } from '../export/manifest.ts';
import { runDescribe } from './describe.ts';
import { runEvaluate } from './evaluate.ts';
import { runUpdates } from './updates.ts';
import { runExport } from './export.ts';
import type { JobPort } from './port.ts';
import { eventsOf, saidIn, stepsOf } from '../testing/run-events.ts';
import { readRowLosses, type RunEvent, type RunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'train-'));
afterAll(() => rmSync(work, { recursive: true }));

let count = 0;
let spec: TrainSpec;
let messages: JobMessage[];
beforeEach(() => {
  messages = [];
  spec = {
    kind: 'train',
    model: { path: join(golden, 'model') },
    data: { paths: [join(golden, 'rows.jsonl')], evalPaths: [join(golden, 'rows.jsonl')] },
    adapterPath: null,
    recipe: { rank: 2, maxSteps: 4, batchSize: 2, evalEvery: 2, saveEvery: 2, learningRate: 0.01 },
    out: join(work, `run-${count++}`),
    device: 'auto',
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  };
});

function evaluate(changes: Partial<Extract<JobSpec, { kind: 'evaluate' }>>) {
  const { model, cacheDir } = spec;
  return runEvaluate(
    { kind: 'evaluate', model, data: spec.data, adapterPath: null, cacheDir, ...changes },
    portOf(() => false),
  );
}
/** Returns what the newest session has logged. */
const logged = () => saidIn(spec.out).join('\n');

/** Stops as soon as `stopWhen` holds for the messages so far. */
function run(changes: Partial<TrainSpec> = {}, stopWhen: () => boolean = () => false) {
  return runTrain({ ...spec, ...changes }, portOf(stopWhen));
}
function portOf(stopWhen: () => boolean): JobPort {
  return {
    send: (message) => messages.push(message),
    get stopRequested() {
      return stopWhen();
    },
    onRequest: () => {},
    untilStopped: () => new Promise(() => {}),
  };
}
async function problemOf(changes: Partial<TrainSpec>, stopWhen?: () => boolean): Promise<Problem> {
  try {
    await run(changes, stopWhen);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('no problem was thrown');
}
function metrics(): MetricRow[] {
  const lines = readFileSync(join(spec.out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as MetricRow);
}
function record(): RunRecord {
  return JSON.parse(readFileSync(join(spec.out, 'run.json'), 'utf8')) as RunRecord;
}
function rowsFile(name: string, lines: readonly unknown[]): string {
  const path = join(work, name);
  writeFileSync(path, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)) + '\n').join(''));
  return path;
}
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const goodRow = { input_ids: [1, 2, 3, 4, 5, 6, 7, 8, 9] };

describe('a run', () => {
  it('leaves adapter, metrics, record and checkpoints, and says what it does', async () => {
    const result = await run();
    expect(readdirSync(spec.out).sort()).toEqual([
      'adapter',
      'checkpoints',
      'evaluation-rows.json',
      'events.jsonl',
      'metrics.jsonl',
      'run.json',
    ]);
    expect(readdirSync(join(spec.out, 'checkpoints')).sort()).toEqual(['step-000002', 'step-000004']);
    const rows = metrics();
    expect(rows.map((row) => ('evalLoss' in row ? `eval ${row.step}` : row.step))).toEqual([
      'eval 0',
      1,
      2,
      'eval 2',
      3,
      4,
      'eval 4',
    ]);
    // The newest evaluation leaves the loss of each of its rows; that of all is among them.
    const { step, rows: losses } = readRowLosses(spec.out)!;
    const evalLoss = rows.flatMap((row) => ('evalLoss' in row ? row.evalLoss : [])).at(-1)!;
    expect([step, losses.map(([row]) => row)]).toEqual([4, losses.map((_, i) => i)]);
    const values = losses.map(([, loss]) => loss);
    expect(Math.min(...values)).toBeLessThanOrEqual(evalLoss + 1e-9);
    expect(Math.max(...values)).toBeGreaterThanOrEqual(evalLoss - 1e-9);
    expect(result).toMatchObject({ steps: 4, adapterPath: join(spec.out, 'adapter') });
    expect(record()).toMatchObject({ recipe: { rank: 2, alpha: 32 }, totalSteps: 4, data: { rows: 16, format: 'tokens' } });
    expect(record().base.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(record().finishedAt).not.toBeNull();
    expect(eventsOf(spec.out, 'begin')).toMatchObject([{ step: 0, longest: expect.any(Number) as number }]);
    expect(eventsOf(spec.out, 'checkpoint').map(({ name }) => name)).toEqual(['step-000002', 'step-000004']);
    expect(eventsOf(spec.out, 'end')).toMatchObject([{ state: 'done', problem: null }]);
  });

  it('takes its shape from the adapter it goes on from', async () => {
    await run({ adapterPath: join(golden, 'adapter'), recipe: { ...spec.recipe, rank: 64 } });
    expect(record().recipe).toMatchObject({ rank: 4, alpha: 8 });
    expect(logged()).toContain('whatever the recipe says: rank is 4, not 64.');
  });

  it('names each setting that the adapter it goes on from does not have, and none that comes to the same', async () => {
    const adapterPath = join(golden, 'adapter');
    const contrary = { r: 9, lora_alpha: 1, targetModules: ['q_proj'], dora: true, initialization: 'gaussian' };
    await run({ adapterPath, recipe: { maxSteps: 1, ...contrary } });
    expect(logged()).toMatch(
      /r is 4, not 9; lora_alpha is 8, not 1; dora is false, not true; targetModules is .*, not \["q_proj"\]/,
    );
    expect(logged()).toContain('initialization "gaussian"');
    await run({ adapterPath, resume: true, recipe: { dora: true } });
    expect(logged().match(/dora is false, not true/g)).toHaveLength(1);
    const { recipe } = record();
    const alike = { rank: 4, alpha: 8, dropout: 0.1, targetModules: [recipe.targetModules].flat().toReversed() };
    await run({ adapterPath, out: `${spec.out}-alike`, recipe: { maxSteps: 1, ...alike } });
    expect(saidIn(`${spec.out}-alike`).join()).not.toContain('whatever the recipe says');
  });

  it('names the adapter it goes on from as a version and the lineage of an export do: by the file with its numbers', async () => {
    const adapterPath = join(golden, 'adapter');
    await run({ adapterPath });
    const out = join(work, 'of-a-start');
    await runExport(
      {
        ...{ kind: 'export', model: spec.model, format: 'peft', quantization: null, proof: false, cacheDir: spec.cacheDir },
        ...{ adapters: [{ path: adapterPath, weight: 1 }], out, origin: { exportId: '', adapters: [] } },
      },
      portOf(() => false),
    );
    expect(record().startedFrom?.hash).toBe(sha256(readFileSync(join(adapterPath, 'adapter_model.safetensors'))));
    expect(readManifest(out)!.lineage.adapters[0]!.hash).toBe(record().startedFrom!.hash);
  });

  it('refuses to start from a version whose file is another by now', async () => {
    const adapterPath = join(golden, 'adapter');
    const problem = await problemOf({ adapterPath, adapterHash: 'another' });
    expect(problem.code).toBe('adapter-changed');
    expect(existsSync(spec.out)).toBe(false);
    expect(() => runUpdates({ kind: 'updates', model: spec.model, adapterPath, adapterHash: 'another' })).toThrow(
      problem.message,
    );
    const other = await problemOf({ adapterPath, adapterConfigHash: 'another' });
    expect(other).toMatchObject({ code: 'adapter-changed', message: expect.stringContaining('adapter_config.json') as string });
    const adapterHash = sha256(readFileSync(join(adapterPath, 'adapter_model.safetensors')));
    await run({ adapterPath, adapterHash, recipe: { maxSteps: 1 } });
    expect(record().startedFrom?.hash).toBe(adapterHash);
  });

  it.each([
    ['LoRA', {}],
    ['an adapter whose first values are taken out of the base', { initialization: 'pissa' }],
    ['whole modules and biases', { modulesToSave: ['embed_tokens'], bias: 'all' }],
    ['full training', { method: 'full' }],
  ] as const)('says of its adapter what reading it says: %s', async (_, recipe) => {
    await run({ recipe: { ...spec.recipe, ...recipe } });
    const adapterPath = join(spec.out, 'adapter');
    expect(eventsOf(spec.out, 'adapter')).toEqual([
      {
        ...{ type: 'adapter', at: expect.any(Number) as number, step: 4 },
        evalLoss: metrics().findLast((row) => 'evalLoss' in row)!.evalLoss,
        adapter: runDescribe({ kind: 'describe', model: spec.model, adapterPath }),
      },
    ]);
    expect(eventsOf(spec.out, 'adapter')[0]!.adapter.hash).toBe(
      sha256(readFileSync(join(adapterPath, 'adapter_model.safetensors'))),
    );
  });

  it('says of its adapter what an earlier session evaluated, when it goes on from its last step', async () => {
    await run();
    const [first] = eventsOf(spec.out, 'adapter');
    await run({ resume: true });
    expect(eventsOf(spec.out, 'adapter')).toEqual([{ ...first, at: expect.any(Number) as number }]);
    expect(first!.evalLoss).not.toBeNull();
  });

  it('cuts long rows and says how many', async () => {
    await run({ recipe: { ...spec.recipe, maxLength: 20 } });
    expect(record().data.truncated).toBeGreaterThan(0);
    expect(logged()).toContain('truncated at the end');
  });
});

describe('what a check of the data warns of', () => {
  const tiny = join(import.meta.dirname, '../../resources/tiny/model');
  const chat = { messages: [...turn('Hello'), ...turn('And now?')], note: 'from a forum' };
  function turn(content: string) {
    return [
      { role: 'user', content },
      { role: 'assistant', content: 'Yes.' },
    ];
  }
  /** The model with a template that writes no end behind answers and drops those of the system. */
  function modelWithoutEnds(): string {
    const folder = join(work, `tiny-${count++}`);
    cpSync(tiny, folder, { recursive: true });
    const template =
      "{% for m in messages %}{% if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    writeFileSync(join(folder, 'chat_template.jinja'), template);
    return folder;
  }

  it('is said by a run too, each once', async () => {
    const silent = { messages: [{ role: 'system', content: 'Be brief.' }, ...turn('Hello')] };
    const dataPaths = [rowsFile('warned.jsonl', [chat, silent])];
    await run({ model: { path: modelWithoutEnds() }, data: { paths: dataPaths, evalPaths: dataPaths } });
    const notes = saidIn(spec.out);
    const said = (text: string) => notes.filter((note) => note.startsWith(`${dataPaths[0]}: `) && note.includes(text));
    expect(said('3 turns do not end in a token that ends an answer.')).toHaveLength(1);
    expect(
      said('1 row with messages that the chat template leaves out, whole or in part. Left out are messages of the role system'),
    ).toHaveLength(1);
    expect(said("Columns not used: 'note' (1 row). They change nothing of what is trained.")).toHaveLength(1);
  });

  it('is not said where there is nothing of it', async () => {
    await run({ model: { path: tiny }, data: { paths: [rowsFile('clean.jsonl', [{ messages: turn('Hello') }])] } });
    expect(logged()).not.toMatch(/Columns not used|do not end in|leaves out/);
  });
});

describe('long rows', () => {
  const longRow = (length: number) => ({ input_ids: Array.from({ length }, (_, i) => i % 40) });
  const gpt2 = join(golden, '../gpt2/model');

  it('are cut where the positions of the model end, and said', async () => {
    const dataPaths = [rowsFile('positions.jsonl', [longRow(128), longRow(129), longRow(200), longRow(9)])];
    await run({ model: { path: gpt2 }, data: { ...spec.data, paths: dataPaths } });
    expect(record().data).toMatchObject({ rows: 4, truncated: 2 });
    expect(logged()).toContain("2 of 4 rows are longer than the model's 128 positions and are truncated at the end.");
  });

  it('are refused in words where nothing of them may be left out', async () => {
    const dataPaths = [rowsFile('evaluated.jsonl', [longRow(9), longRow(129), longRow(200)])];
    const evaluation = evaluate({ model: { path: gpt2 }, data: { ...spec.data, paths: dataPaths } });
    await expect(evaluation).rejects.toMatchObject({ code: 'row-too-long', line: 2 });
    await expect(evaluation).rejects.toThrow(
      'evaluated.jsonl, line 2: the row has 129 tokens, but the model has only 128 positions',
    );
  });

  it('are cut in what an export is measured and proved with', async () => {
    const dataPaths = [rowsFile('measured.jsonl', [longRow(200), longRow(140)])];
    const request = { model: { path: gpt2 }, adapters: [], format: 'safetensors', quantization: 'f32', proof: true } as const;
    const exported = {
      kind: 'export',
      ...request,
      rows: { data: { paths: dataPaths } },
      importance: { data: { paths: dataPaths } },
      cacheDir: spec.cacheDir,
    } as const;
    const { proof } = await runExport(
      { ...exported, out: join(work, 'long-export') },
      portOf(() => false),
    );
    expect(proof).toMatchObject({ passed: true });
  });

  it('beyond the context of a rotary model are computed, and said', async () => {
    const dataPaths = [rowsFile('context.jsonl', [longRow(150), longRow(9)])];
    await run({ data: { ...spec.data, paths: dataPaths } });
    const said = '1 row of 2 is longer than the 128 tokens the model was made for, the longest 150';
    expect(logged()).toContain(said);
    expect((await evaluate({ data: { ...spec.data, paths: dataPaths } })).notes.join()).toContain(said);
  });

  it('are no prompts that are answered while training', async () => {
    const chat = (words: number) => ({
      messages: [
        { role: 'user', content: 'word '.repeat(words) },
        { role: 'assistant', content: 'Yes.' },
      ],
    });
    const [dataPaths, evalPaths] = [[rowsFile('short.jsonl', [chat(3)])], [rowsFile('prompts.jsonl', [chat(600), chat(5)])]];
    await run({
      model: { path: join(import.meta.dirname, '../../resources/tiny/model') },
      data: { paths: dataPaths, evalPaths },
      recipe: { ...spec.recipe, maxLength: 4096 },
    });
    expect(logged()).toMatch(/The prompt of evaluation row 1 has \d+ tokens, but the model reads at most 512/);
    expect(eventsOf(spec.out, 'sample').length).toBeGreaterThan(0);
  });
});

describe('epochs', () => {
  it('take every row once each: the last step is smaller', async () => {
    const lengths = Array.from({ length: 13 }, (_, i) => 9 + i);
    const rows = lengths.map((length) => ({ input_ids: Array.from({ length }, (_, i) => i + 1) }));
    const dataPaths = [rowsFile('thirteen.jsonl', rows)];
    await run({
      data: { paths: dataPaths, evalPaths: dataPaths },
      recipe: { ...spec.recipe, maxSteps: 0, epochs: 1, batchSize: 8 },
    });
    const steps = metrics().filter((row) => 'loss' in row);
    expect(steps).toHaveLength(2);
    expect(steps.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(lengths.reduce((a, b) => a + b));
    expect(steps.at(-1)!.epoch).toBe(1);
    expect(logged()).toContain('The last step takes 5 rows, every other 8.');
    expect(logged()).toContain('13 of 13 evaluation rows are also training rows');
    await run({ data: { paths: dataPaths, evalPaths: dataPaths }, resume: true, recipe: { epochs: 2 } });
    expect(logged()).toContain('The 3 rows that would have filled it are skipped');
  });

  it('shorter than a step are one step of all rows', async () => {
    const dataPaths = [rowsFile('three.jsonl', [goodRow, goodRow, goodRow])];
    await run({
      data: { ...spec.data, paths: dataPaths },
      recipe: { ...spec.recipe, maxSteps: 0, epochs: 1, batchSize: 4, gradientAccumulation: 8 },
    });
    expect(metrics().find((row) => 'loss' in row)).toMatchObject({ step: 1, tokens: 27, epoch: 1 });
    expect(logged()).toContain('Nothing will be learned');
  });
});

describe('resuming', () => {
  it('goes on from the checkpoint of a stop, with metrics of every step once', async () => {
    const problem = await problemOf({ recipe: { ...spec.recipe, maxSteps: 40 } }, () => stepsOf(spec.out).length > 0);
    expect(problem.code).toBe('stopped');
    const stoppedAt = eventsOf(spec.out, 'checkpoint').at(-1)!.step;
    expect(eventsOf(spec.out, 'end')).toMatchObject([{ state: 'stopped' }]);
    expect(stoppedAt).toBeLessThan(40);
    expect(existsSync(join(spec.out, 'adapter'))).toBe(false);
    appendFileSync(join(spec.out, 'metrics.jsonl'), `{"step":${stoppedAt + 1},"loss":9}\n{"step":${stoppedAt + 2},"lo`);
    await run({ resume: true, recipe: { ...spec.recipe, maxSteps: 40 } });
    expect(metrics().flatMap((row) => ('loss' in row ? [row.step] : []))).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(metrics().flatMap((row) => ('evalLoss' in row ? [row.step] : []))).toEqual(
      Array.from({ length: 21 }, (_, i) => 2 * i),
    );
  });

  it('keeps the recipe it began with, and refuses another one, another model or other data by name', async () => {
    await run();
    await run({ resume: true, recipe: {} });
    expect(record().recipe.rank).toBe(2);
    expect((await problemOf({ resume: true, recipe: { rank: 3 } })).message).toContain("a different 'rank': 2, not 3");
    const data = [rowsFile('other.jsonl', [goodRow])];
    expect((await problemOf({ resume: true, data: { ...spec.data, paths: data } })).message).toContain('The data has changed');
    const other = await problemOf({ resume: true, model: { path: join(golden, '../llama3-rope/model') } });
    expect(other.code).toBe('adapter-mismatch');
  });

  it('says that it starts over when every checkpoint is damaged, or none was saved', async () => {
    await run();
    const before = readFileSync(join(spec.out, 'adapter', 'adapter_model.safetensors'));
    for (const name of readdirSync(join(spec.out, 'checkpoints')))
      writeFileSync(join(spec.out, 'checkpoints', name, 'state.json'), '{}');
    await run({ resume: true, recipe: {} });
    expect(saidIn(spec.out)).toContain(
      'Every checkpoint is damaged (step-000004, step-000002), so the run starts over from its first step.',
    );
    expect(readFileSync(join(spec.out, 'adapter', 'adapter_model.safetensors')).equals(before)).toBe(true);
    rmSync(join(spec.out, 'checkpoints'), { recursive: true });
    await run({ resume: true, recipe: {} });
    expect(logged()).toContain('There is no checkpoint yet, so the run starts over from its first step.');
  });

  it('passes over checkpoints of another run, says so and leaves them alone', async () => {
    const other = join(work, 'other-run');
    await run({ out: other, recipe: { ...spec.recipe, seed: 7, maxSteps: 6 } });
    await run({ recipe: { ...spec.recipe, keepCheckpoints: 1 } });
    const foreign = join(spec.out, 'checkpoints', 'step-000006');
    cpSync(join(other, 'checkpoints', 'step-000006'), foreign, { recursive: true });
    const before = readFileSync(join(foreign, 'state.json'));
    await run({ resume: true, recipe: { maxSteps: 5 } });
    expect(logged()).toContain('Skipped checkpoints of another run: step-000006.\nContinuing from the checkpoint of step 4.');
    expect(readdirSync(join(spec.out, 'checkpoints')).sort()).toEqual(['step-000005', 'step-000006']);
    expect(readFileSync(join(foreign, 'state.json')).equals(before)).toBe(true);

    rmSync(join(spec.out, 'checkpoints', 'step-000005'), { recursive: true });
    await run({ resume: true, recipe: { maxSteps: 6 } });
    expect(logged()).toContain('Every checkpoint is of another run (step-000006), so the run starts over from its first step.');
    // Where the run comes to the same step, its own takes the place.
    await run({ resume: true, recipe: {} });
    expect(logged()).toContain('Continuing from the checkpoint of step 6.');
  });

  it('goes on from checkpoints of earlier versions, which name no run', async () => {
    await run();
    const path = join(spec.out, 'checkpoints', 'step-000004');
    const { run: named, ...old } = loadCheckpoint(path, openModel(spec.model.path));
    expect(named).toMatch(/^[0-9a-f]{64}$/);
    rmSync(path, { recursive: true });
    saveCheckpoint(join(spec.out, 'checkpoints'), old, 2);
    await run({ resume: true, recipe: { maxSteps: 6 } });
    expect(logged()).toContain('Continuing from the checkpoint of step 4.');
  });

  it('computes as the checkpoint says and not as it would here, and says what may make a difference', async () => {
    await run();
    const path = join(spec.out, 'checkpoints', 'step-000004');
    const state = loadCheckpoint(path, openModel(spec.model.path));
    const plan = { ...state.plan, threads: state.plan.threads + 1, versions: { ...state.plan.versions, onnxruntime: '0.1' } };
    rmSync(path, { recursive: true });
    saveCheckpoint(join(spec.out, 'checkpoints'), { ...state, plan }, 2);
    await run({ resume: true, recipe: { maxSteps: 6 } });
    const text = logged();
    expect(text).toContain(`It keeps to ${plan.threads} threads`);
    expect(text).toContain('onnxruntime was 0.1 and now is');
    expect(record().device.threads).toBe(plan.threads);
    expect(record().notExact).toHaveLength(1);
    expect(record().notExact[0]).toContain('from step 4: onnxruntime was 0.1');
  });

  it('says in its folder from where it goes on, also where the last words of the session before were cut off', async () => {
    await run();
    appendFileSync(join(spec.out, 'events.jsonl'), '{"type":"log","at":1,"te');
    await run({ resume: true, recipe: { maxSteps: 6 } });
    expect(eventsOf(spec.out, 'begin')).toMatchObject([{ step: 4 }]);
    const lines = readFileSync(join(spec.out, 'events.jsonl'), 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as RunEvent).type).filter((type) => type !== 'log')).toEqual([
      ...['begin', 'checkpoint', 'checkpoint', 'adapter', 'end', 'begin', 'checkpoint', 'adapter', 'end'],
    ]);
  });

  it('begins in a folder in which a job was killed before it had written anything whole', async () => {
    mkdirSync(spec.out);
    writeFileSync(join(spec.out, 'run.json.partial-1-a'), '{');
    await run();
    expect(readdirSync(spec.out).sort()).toEqual([
      'adapter',
      'checkpoints',
      'evaluation-rows.json',
      'events.jsonl',
      'metrics.jsonl',
      'run.json',
    ]);
  });

  it('goes further than planned when asked to', async () => {
    await run();
    await run({ resume: true, recipe: { maxSteps: 6 } });
    expect(metrics().at(-1)).toMatchObject({ step: 6 });
  });

  it('goes on from the same adapter also where an earlier version had hashed it otherwise, and from no other', async () => {
    const adapterPath = join(spec.out, '../first');
    cpSync(join(golden, 'adapter'), adapterPath, { recursive: true });
    await run({ adapterPath });
    const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'].map((name) =>
      readFileSync(join(adapterPath, name)),
    );
    const before = record();
    const startedFrom = { path: adapterPath, hash: sha256(Buffer.concat([config!, weights!])) };
    writeFileSync(
      join(spec.out, 'run.json'),
      JSON.stringify({ ...before, startedFrom, recipe: { ...before.recipe, precision: 'float32' } }),
    );
    await run({ resume: true, adapterPath, recipe: { maxSteps: 6 } });
    expect(record().startedFrom).toEqual(before.startedFrom);
    expect(record().recipe).not.toHaveProperty('precision');
    writeFileSync(join(adapterPath, 'adapter_config.json'), config!.toString().replace('"lora_alpha": 8', '"lora_alpha": 9'));
    expect((await problemOf({ resume: true, adapterPath, recipe: {} })).message).toContain('The first adapter has changed');
  });

  it('refuses other evaluation rows: their losses would stand in one curve', async () => {
    await run();
    const evalPaths = [rowsFile('other-eval.jsonl', [goodRow])];
    expect((await problemOf({ resume: true, recipe: {}, data: { ...spec.data, evalPaths } })).message).toContain(
      'The evaluation data has changed',
    );
    await run({ resume: true, recipe: {}, data: { paths: spec.data.paths } });
  });

  it('needs a run to go on with', async () => {
    expect((await problemOf({ resume: true })).code).toBe('checkpoint-missing');
  });
});

describe('refusals', () => {
  it.each([
    ['a folder that is not empty', 'folder-not-empty', () => ({ out: golden })],
    ['a file as folder', 'folder-unwritable', () => ({ out: join(golden, 'rows.jsonl') })],
    ['a folder below a file', 'folder-unwritable', () => ({ out: join(golden, 'rows.jsonl', 'run') })],
    ['a missing model', 'file-missing', () => ({ model: { path: join(work, 'nothing') } })],
    ['missing data', 'file-missing', () => ({ data: { ...spec.data, paths: [join(work, 'nothing.jsonl')] } })],
    ['an unknown recipe key', 'recipe-invalid', () => ({ recipe: { rnk: 4 } })],
    ['a matrix the model lacks', 'recipe-invalid', () => ({ recipe: { targetModules: ['c_attn'] } })],
    [
      'a bad line',
      'data-invalid',
      () => ({ data: { ...spec.data, paths: [rowsFile('bad.jsonl', [goodRow, '{"input_ids": [1, 2'])] } }),
    ],
    [
      'ids out of range',
      'token-out-of-range',
      () => ({ data: { ...spec.data, paths: [rowsFile('range.jsonl', [{ input_ids: [1, 99999] }])] } }),
    ],
    [
      'nothing to train on',
      'nothing-to-train',
      () => ({
        data: { ...spec.data, paths: [rowsFile('ignored.jsonl', [{ input_ids: [1, 2, 3], labels: [1, -100, -100] }])] },
      }),
    ],
    [
      'nothing to train on within the maximum length',
      'nothing-to-train',
      () => ({
        recipe: { maxLength: 8 },
        data: { ...spec.data, paths: [rowsFile('late.jsonl', [{ ...goodRow, labels: [...Array<number>(8).fill(-100), 9] }])] },
      }),
    ],
    ['an adapter for another base', 'adapter-mismatch', () => ({ adapterPath: join(golden, '../smollm2-json/adapter') })],
    ['a device that is not there', 'device-unavailable', () => ({ device: 'dml' as const })],
  ])('%s', async (_, code, changes) => {
    const problem = await problemOf(changes());
    expect(problem.code).toBe(code);
    expect(problem.hint).not.toBe('');
    expect(existsSync(spec.out)).toBe(false);
  });

  it('of bad rows name file and line, and are lifted on request', async () => {
    const data = { data: { ...spec.data, paths: [rowsFile('mixed.jsonl', [goodRow, { input_ids: [1, 99999] }, goodRow])] } };
    const problem = await problemOf(data);
    expect(problem.message).toContain('mixed.jsonl, line 2');
    expect(problem.line).toBe(2);
    await run({ ...data, skipBadRows: true });
    expect(record().data).toMatchObject({ rows: 2, skipped: 1 });
  });
});

describe('the folder of a run', () => {
  const send = (message: JobMessage, then: () => void) => {
    messages.push(message);
    if (message.type === 'written' && message.slowestStep > 0) then();
  };
  it.each([
    ['that is removed', (out: string) => rmSync(out, { recursive: true })],
    [
      'that another one takes the place of',
      (out: string) => (renameSync(out, `${out}-moved`), cpSync(`${out}-moved`, out, { recursive: true })),
    ],
    ['whose metrics are removed', (out: string) => rmSync(join(out, 'metrics.jsonl'))],
    ['whose events are removed', (out: string) => rmSync(join(out, 'events.jsonl'))],
    ['whose record is removed', (out: string) => rmSync(join(out, 'run.json'))],
  ])('%s while it is written to is noticed, and does not come to be again without the rest', async (_, change) => {
    let isChanged = false;
    const port = { ...portOf(() => false), stopRequested: false };
    const running = runTrain(spec, {
      ...port,
      send: (message) =>
        send(message, () => {
          if (!isChanged) change(spec.out);
          isChanged = true;
        }),
    });
    await expect(running).rejects.toMatchObject({
      code: 'folder-unwritable',
      message: expect.stringContaining('was removed or replaced while the run was writing'),
    });
    expect(existsSync(spec.out) && existsSync(join(spec.out, 'adapter'))).toBe(false);
  });
});

describe.skipIf(process.platform === 'win32')('a folder that another process trains in', () => {
  const identity = processIdentity(process.pid)!;
  const gone = { ...identity, pid: spawnSync(process.execPath, ['-e', '']).pid };
  const other = processIdentity(process.ppid)!;
  const lock = (content: object) => writeFileSync(join(spec.out, 'run.lock'), JSON.stringify(content));

  it('is refused, whether its run is begun or gone on with, and nothing in it is touched', async () => {
    mkdirSync(spec.out);
    lock(other);
    expect(await problemOf({})).toMatchObject({ code: 'not-allowed', message: `A run is already training in ${spec.out}.` });
    expect(readdirSync(spec.out)).toEqual(['run.lock']);
    rmSync(join(spec.out, 'run.lock'));
    await run();
    lock(other);
    writeFileSync(join(spec.out, 'run.json.partial-1-a'), 'half');
    const before = readdirSync(spec.out);
    expect(await problemOf({ resume: true })).toMatchObject({ code: 'not-allowed', hint: expect.stringContaining('Stop it') });
    expect(readdirSync(spec.out)).toEqual(before);
  });

  it('is free once that process is gone, and in a copy of the folder', async () => {
    await run({ recipe: { ...spec.recipe, maxSteps: 2 } });
    lock({ ...gone, host: other });
    const began = performance.now();
    await run({ resume: true, recipe: { maxSteps: 4 } });
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(existsSync(join(spec.out, 'run.lock'))).toBe(false);
    const out = `${spec.out}-copy`;
    lock({ ...other, folder: { path: spec.out, id: 'elsewhere' } });
    cpSync(spec.out, out, { recursive: true });
    await run({ out, resume: true, recipe: { maxSteps: 5 } });
    expect(stepsOf(out).at(-1)).toMatchObject({ step: 5 });
  });

  it('is waited for where its host is gone, for it is ending', async () => {
    await run({ recipe: { ...spec.recipe, maxSteps: 2 } });
    const left = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'ignore' });
    lock({ ...processIdentity(left.pid!)!, host: gone });
    setTimeout(() => left.kill('SIGKILL'), 300);
    await run({ resume: true, recipe: { maxSteps: 4 } });
  });
});

it('a stop before the first step ends the run where it is, and leaves no folder', async () => {
  const asked = Promise.withResolvers<void>();
  const running = runTrain(spec, {
    ...portOf(() => false),
    stopRequested: false,
    untilStopped: () => asked.promise,
    send: (message) => {
      messages.push(message);
      if (message.type === 'progress' && message.progress.phase === 'Reading the data') asked.resolve();
    },
  });
  await expect(running).rejects.toMatchObject({ code: 'stopped', message: 'The run was stopped before its first step.' });
  expect(messages.map(({ type }) => type)).toEqual(['progress', 'progress']);
  expect(existsSync(spec.out)).toBe(false);
});
