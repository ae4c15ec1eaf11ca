/** What jobs report is stored: with jobs that exist only as their messages. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import type { AdapterVersion, JobCommand, JobMessage, Proof } from '../contract.ts';
import { type JobProcess, Supervisor } from '../jobs/supervisor.ts';
import { defaultRecipe } from '../recipe.ts';
import { openStore } from '../store/open.ts';
import { AdapterRegistry } from './adapters.ts';
import { Devices } from './devices.ts';
import type { HostContext } from './context.ts';
import { Exports } from './exports.ts';
import { Library } from './library.ts';
import { LongLived } from './long-lived.ts';
import { RunQueue } from './runs.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-reports-'));
const store = openStore(folder);
afterAll(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

let say: (message: JobMessage) => void = () => {};
const sent: JobCommand[] = [];
let exit: (code: number | null, signal: string | null) => void = () => {};
const supervisor = new Supervisor((): JobProcess => ({
  pid: undefined,
  send: (command) => sent.push(command),
  onMessage: (listener) => (say = listener),
  onExit: (listener) => (exit = listener),
  kill: () => exit(null, 'SIGKILL'),
}));
const context: HostContext = { dataDir: folder, cacheDir: folder, store, supervisor, emit: () => {} };
const library = new Library(context);
const exports = new Exports(context, library);
const client = new AbortController().signal;

test('the log of a run says what happened, and nothing twice', async () => {
  const runs = new RunQueue(context, library, new AdapterRegistry(context), new Devices(context, new LongLived(context)));
  const { id } = await runs.start(
    { model: { path: '/model' }, data: { paths: ['/rows.jsonl'], evalPaths: [] }, recipe: {}, device: 'cpu' },
    client,
  );
  const progress = (phase: string, done: number, total: number) =>
    say({ type: 'progress', progress: { phase, done, total, unit: '', secondsLeft: null } });
  progress('Reading the model', 0, 0);
  say({
    type: 'plan',
    recipe: defaultRecipe(),
    totalSteps: 4,
    trainableParameters: 96,
    device: 'cpu',
    longest: 9,
    stepsDone: 0,
    known: { steps: [], evaluations: [] },
  });
  for (const step of [1, 2]) {
    progress('Training', step, 4);
    progress('Evaluating', 0, 4);
    say({ type: 'metrics', steps: [], evaluations: [{ step, evalLoss: 1 / step }], secondsLeft: null });
  }
  say({ type: 'checkpoint', checkpoint: { step: 2, path: '/c', bytes: 1, createdAt: 0 } });
  runs.stop(id, false);
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  await runs.ended(id);
  expect(store.log.list(id).map(({ text }) => text)).toEqual([
    'Starts.',
    'Reading the model.',
    '4 steps, 96 trainable parameters, computed on cpu.',
    'Step 1: evaluation loss 1.0000.',
    'Step 2: evaluation loss 0.5000.',
    'Step 2: checkpoint saved.',
    'A stop was asked for: a checkpoint first.',
    'Stopped at step 0 after 0.0 s of training.',
  ]);
});

test('a run whose report cannot be stored fails with the reason; what cannot be stored either is told', async () => {
  const told: { state: string; problem: unknown }[] = [];
  const runs = new RunQueue(
    { ...context, emit: (name, payload) => name === 'run.changed' && told.push(payload as (typeof told)[0]) },
    library,
    new AdapterRegistry(context),
    new Devices(context, new LongLived(context)),
  );
  const request = {
    model: { path: '/model' },
    data: { paths: ['/rows.jsonl'], evalPaths: [] },
    recipe: {},
    device: 'cpu',
  } as const;
  const full = () => {
    throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
  };
  const metrics = vi.spyOn(store.metrics, 'put').mockImplementation(full);
  const update = vi.spyOn(store.runs, 'update');
  const { id } = await runs.start(request, client);
  update.mockImplementation(full);
  say({ type: 'metrics', steps: [], evaluations: [{ step: 1, evalLoss: 1 }], secondsLeft: null });
  await vi.waitFor(() => expect(told.at(-1)).toMatchObject({ state: 'failed', problem: { code: 'disk-full' } }));
  expect(runs.busy).toBe(false);
  metrics.mockRestore();
  update.mockRestore();
  const again = new RunQueue(context, library, new AdapterRegistry(context), new Devices(context, new LongLived(context)));
  expect(again.get(id).state).toBe('interrupted');
});

test('a paused run has its own state, with a checkpoint to go on from, and can still be stopped', async () => {
  const runs = new RunQueue(context, library, new AdapterRegistry(context), new Devices(context, new LongLived(context)));
  const start = () =>
    runs.start(
      { model: { path: '/model' }, data: { paths: ['/rows.jsonl'], evalPaths: [] }, recipe: {}, device: 'cpu' },
      client,
    );
  const [{ id }, waiting] = [await start(), await start()];
  runs.pause(waiting.id);
  expect(runs.get(waiting.id).state).toBe('paused');
  runs.pause(id);
  expect(runs.get(id)).toMatchObject({ state: 'running', phase: 'Pausing' });
  say({ type: 'checkpoint', checkpoint: { step: 1, path: '/c', bytes: 1, createdAt: 0 } });
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  expect(await runs.ended(id)).toMatchObject({ state: 'paused', problem: null });
  expect(store.log.list(id).at(-1)!.text).toContain('Paused at step 0');
  expect(() => runs.pause(id)).toThrow('is not going on');

  expect(runs.resume(id).state).toBe('running');
  runs.pause(id);
  // Whoever then stops it does not mean to go on.
  runs.stop(id, false);
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  expect((await runs.ended(id)).state).toBe('stopped');
  runs.stop(waiting.id, false);
  expect(runs.get(waiting.id).state).toBe('stopped');
});

test('an export whose proof failed keeps every check of it', async () => {
  const projectId = library.projectNamed('Exports').id;
  const proof: Proof = {
    passed: false,
    checks: [
      { name: 'Structure', value: null, limit: null, text: 'all there', passed: true },
      { name: 'Largest logit difference', value: 3, limit: 0.001, text: '3 (at most 0.001)', passed: false },
    ],
    rows: 2,
    positions: 7,
    maxLogitDifference: 3,
    top1Agreement: 0.5,
  };
  const refused = { code: 'proof-failed', message: 'It is not what it should be.', hint: '' } as const;
  const written = exports.start(
    {
      projectId,
      model: { path: '/model' },
      adapters: [],
      format: 'gguf',
      quantization: 'f32',
      out: join(folder, 'x.gguf'),
      proof: true,
    },
    client,
  );
  await vi.waitFor(() => expect(store.exports.list(projectId)[0]?.state).toBe('running'));
  say({ type: 'done', result: { path: join(folder, 'x.gguf'), bytes: 0, files: [], proof, refused } });
  exit(0, null);
  await expect(written).rejects.toMatchObject({ code: 'proof-failed' });
  expect(store.exports.list(projectId)[0]).toMatchObject({ state: 'failed', proof, problem: refused, bytes: 0 });
});

test('an export reads rows as the run of its adapter did', async () => {
  const runs = new RunQueue(context, library, new AdapterRegistry(context), new Devices(context, new LongLived(context)));
  const { id: runId, projectId } = await runs.start(
    {
      model: { path: '/model' },
      data: { paths: ['/rows.jsonl'], evalPaths: [] },
      recipe: { addEosToken: false },
      device: 'cpu',
    },
    client,
  );
  store.adapters.put({
    ...{ id: 'adapter', projectId, name: 'A', path: '/adapter', runId, runName: 'Run', step: 1, modelId: null },
    ...{ modelName: 'm', modelPath: '/model', datasetName: null, rank: 1, alpha: 1, targetModules: [], parameters: 1 },
    ...{ bytes: 1, hash: 'h', evalLoss: null, tag: null, createdAt: 0 },
  } satisfies AdapterVersion);
  const out = { format: 'gguf', quantization: 'f32', out: join(folder, 'y.gguf'), proof: true } as const;
  const written = exports.start({ model: { path: '/model' }, adapters: [{ id: 'adapter' }], ...out }, client);
  await vi.waitFor(() =>
    expect(sent.at(-1)).toMatchObject({
      spec: { kind: 'export', dataPaths: [], rowSettings: { addEosToken: false } },
    }),
  );
  exit(1, null);
  await expect(written).rejects.toMatchObject({ code: 'job-crashed' });
});

test('tokens are told to the one who asked for them, and to nobody else', async () => {
  const everyone: string[] = [];
  const longLived = new LongLived({ ...context, emit: (name) => void everyone.push(name) });
  const heard: string[] = [];
  const settings = { maxTokens: 2, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };
  const request = { model: { path: '/model' }, adapters: [], prompt: { text: 'a' }, settings };
  const model = { modelPath: '/model', acceptFields: [] };
  const ask = (streamId: string) =>
    longLived.generate(model, { ...request, streamId }, client, ({ text }) => void heard.push(`${streamId}: ${text}`));
  const answers = [ask('mine'), ask('other')];
  await vi.waitFor(() => expect(sent.at(-1)).toMatchObject({ request: { streamId: 'other' } }));
  say({ type: 'token', streamId: 'mine', token: 1, text: 'yes' });
  say({ type: 'token', streamId: 'other', token: 2, text: 'no' });
  exit(1, null);
  await Promise.allSettled(answers);
  expect(heard).toEqual(['mine: yes', 'other: no']);
  expect(everyone).toEqual([]);
});
