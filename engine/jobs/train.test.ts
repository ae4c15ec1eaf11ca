/** What a training job leaves, refuses and goes on with; the numbers are checked by engine/training/golden.test.ts. */
import { fork } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobMessage, JobSpec, MetricRow } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';
import type { RunRecord } from './run-folder.ts';
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
    modelPath: join(golden, 'model'),
    dataPaths: [join(golden, 'rows.jsonl')],
    evalPaths: [join(golden, 'rows.jsonl')],
    adapterPath: null,
    recipe: { rank: 2, maxSteps: 4, batchSize: 2, evalEvery: 2, saveEvery: 2, learningRate: 0.01 },
    out: join(work, `run-${count++}`),
    device: 'auto',
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  };
});

/** Stops as soon as `stopWhen` holds for the messages so far. */
function run(changes: Partial<TrainSpec> = {}, stopWhen: () => boolean = () => false) {
  const port: JobPort = {
    send: (message) => messages.push(message),
    get stopRequested() {
      return stopWhen();
    },
    onRequest: () => {},
    untilStopped: () => new Promise(() => {}),
  };
  return runTrain({ ...spec, ...changes }, port);
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
function reported(): MetricRow[] {
  return messages.flatMap((message) => (message.type === 'metrics' ? [...message.steps, ...message.evaluations] : []));
}
function rowsFile(name: string, lines: readonly unknown[]): string {
  const path = join(work, name);
  writeFileSync(path, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)) + '\n').join(''));
  return path;
}
const goodRow = { input_ids: [1, 2, 3, 4, 5, 6, 7, 8, 9] };

/** Runs the job in its own process and kills that `milliseconds` after its `checkpoints`-th checkpoint. */
function killAfter(job: TrainSpec, checkpoints: number, milliseconds: number): Promise<void> {
  const child = fork(join(import.meta.dirname, 'run-job.ts'), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  let seen = 0;
  child.on('message', (message: JobMessage) => {
    if (message.type === 'checkpoint' && ++seen === checkpoints) setTimeout(() => child.kill('SIGKILL'), milliseconds);
  });
  child.send({ type: 'start', spec: job });
  return new Promise((resolve, reject) => {
    child.on('exit', (_, signal) =>
      signal === 'SIGKILL' ? resolve() : reject(new Error('the job ended before it was killed')),
    );
  });
}

describe('a run', () => {
  it('leaves adapter, metrics, record and checkpoints, and says what it does', async () => {
    const result = await run();
    expect(readdirSync(spec.out).sort()).toEqual(['adapter', 'checkpoints', 'metrics.jsonl', 'run.json']);
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
    expect(reported().toSorted(byStep)).toEqual(rows.toSorted(byStep));
    expect(result).toMatchObject({ steps: 4, adapterPath: join(spec.out, 'adapter') });
    expect(record()).toMatchObject({ recipe: { rank: 2, alpha: 32 }, totalSteps: 4, data: { rows: 16, format: 'tokens' } });
    expect(record().base.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(record().finishedAt).not.toBeNull();
    expect(messages.find((message) => message.type === 'plan')).toMatchObject({ totalSteps: 4, stepsDone: 0, device: 'cpu' });
    expect(messages.filter((message) => message.type === 'checkpoint')).toHaveLength(2);
  });

  it('takes its shape from the adapter it goes on from', async () => {
    await run({ adapterPath: join(golden, 'adapter'), recipe: { ...spec.recipe, rank: 64 } });
    expect(record().recipe).toMatchObject({ rank: 4, alpha: 8 });
    expect(record().startedFrom?.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('cuts long rows and says how many', async () => {
    await run({ recipe: { ...spec.recipe, maxLength: 20 } });
    expect(record().data.truncated).toBeGreaterThan(0);
    expect(messages.some((message) => message.type === 'log' && message.text.includes('cut at the right'))).toBe(true);
  });
});

describe('resuming', () => {
  it('goes on from the checkpoint of a stop, with metrics of every step once', async () => {
    // Metrics come in groups, so the stop may be seen some steps late; a slow port is not what is tested.
    const problem = await problemOf({ recipe: { ...spec.recipe, maxSteps: 40 } }, () => reported().length > 0);
    expect(problem.code).toBe('stopped');
    const stoppedAt = messages.flatMap((message) => (message.type === 'checkpoint' ? [message.checkpoint.step] : [])).at(-1)!;
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
    expect((await problemOf({ resume: true, recipe: { rank: 3 } })).message).toContain("another 'rank': 2, not 3");
    const data = [rowsFile('other.jsonl', [goodRow])];
    expect((await problemOf({ resume: true, dataPaths: data })).message).toContain('another data');
    const other = await problemOf({ resume: true, modelPath: join(golden, '../llama3-rope/model') });
    expect(other.code).toBe('adapter-mismatch');
  });

  it('after being killed at any moment ends with the same bytes as without', async () => {
    const recipe = { ...spec.recipe, maxSteps: 60, saveEvery: 1, evalEvery: 0 };
    await run({ recipe });
    const bytes = (out: string) => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
    const killed = { ...spec, recipe, out: `${spec.out}-killed` };
    // Each time somewhere else between two checkpoints, which are most of the time of so small a model.
    for (const [checkpoints, milliseconds] of [
      [3, 0],
      [5, 2],
      [7, 5],
      [9, 9],
    ] as const)
      await killAfter({ ...killed, resume: existsSync(join(killed.out, 'run.json')) }, checkpoints, milliseconds);
    await run({ ...killed, resume: true });
    expect(bytes(killed.out).equals(bytes(spec.out))).toBe(true);
    expect(readdirSync(join(killed.out, 'checkpoints')).sort()).toEqual(['step-000059', 'step-000060']);
  }, 60_000);

  it('goes further than planned when asked to', async () => {
    await run();
    await run({ resume: true, recipe: { maxSteps: 6 } });
    expect(metrics().at(-1)).toMatchObject({ step: 6 });
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
    ['a missing model', 'file-missing', () => ({ modelPath: join(work, 'nothing') })],
    ['missing data', 'file-missing', () => ({ dataPaths: [join(work, 'nothing.jsonl')] })],
    ['an unknown recipe key', 'recipe-invalid', () => ({ recipe: { rnk: 4 } })],
    ['a matrix the model lacks', 'recipe-invalid', () => ({ recipe: { targetModules: ['c_attn'] } })],
    ['a bad line', 'data-invalid', () => ({ dataPaths: [rowsFile('bad.jsonl', [goodRow, '{"input_ids": [1, 2'])] })],
    ['ids out of range', 'token-out-of-range', () => ({ dataPaths: [rowsFile('range.jsonl', [{ input_ids: [1, 99999] }])] })],
    [
      'nothing to train on',
      'nothing-to-train',
      () => ({ dataPaths: [rowsFile('ignored.jsonl', [{ input_ids: [1, 2, 3], labels: [1, -100, -100] }])] }),
    ],
    [
      'nothing to train on within the maximum length',
      'nothing-to-train',
      () => ({
        recipe: { maxLength: 8 },
        dataPaths: [rowsFile('late.jsonl', [{ ...goodRow, labels: [...Array<number>(8).fill(-100), 9] }])],
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
    const data = { dataPaths: [rowsFile('mixed.jsonl', [goodRow, { input_ids: [1, 99999] }, goodRow])] };
    const problem = await problemOf(data);
    expect(problem.message).toContain('mixed.jsonl, line 2');
    expect(problem.line).toBe(2);
    await run({ ...data, skipBadRows: true });
    expect(record().data).toMatchObject({ rows: 2, skipped: 1 });
  });
});

function byStep(a: MetricRow, b: MetricRow): number {
  return a.step - b.step || ('evalLoss' in a ? 1 : 0) - ('evalLoss' in b ? 1 : 0);
}
