/** What jobs report is stored. The jobs exist only as messages. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import type { AdapterVersion, JobCommand, JobMessage, Proof, Run } from '../contract.ts';
import { type JobProcess, Supervisor } from '../jobs/supervisor.ts';
import { openStore } from '../store/open.ts';
import { writtenRun } from '../testing/written-run.ts';
import { AdapterRegistry } from './adapters.ts';
import { Datasets } from './datasets.ts';
import { Devices } from './devices.ts';
import { type Asker, type HostContext, startReported } from './context.ts';
import { Evaluations } from './evaluations.ts';
import { Exports } from './exports.ts';
import { Library } from './library.ts';
import { type DataAsker, ModelProcesses } from './model-processes.ts';
import { LocalRunner } from './runs/local-runner.ts';
import { RunQueue } from './runs/queue.ts';
import { RunRegistry } from './runs/registry.ts';
import { SampleProject } from './sample-project.ts';
import { Unsaved } from './unsaved.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-reports-'));
const store = openStore(folder);
afterAll(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

let say: (message: JobMessage) => void = () => {};
const written = () => say({ type: 'written', slowestStep: 0 });
const sent: JobCommand[] = [];
let exit: (code: number | null, signal: string | null) => void = () => {};
const supervisor = new Supervisor((): JobProcess => ({
  pid: undefined,
  send: (command) => sent.push(command),
  onMessage: (listener) => (say = listener),
  onExit: (listener) => (exit = listener),
  kill: () => exit(null, 'SIGKILL'),
}));
const context: HostContext = { dataDir: folder, cacheDir: folder, store, supervisor, unsaved: new Unsaved(), emit: () => {} };
const library = new Library(context);
const datasets = new Datasets(context);
const exports = new Exports(context, library, datasets);
/** Makes the queue of a host with these parts. */
const queueOf = (own: HostContext) => {
  const registry = new RunRegistry(own);
  const runner = new LocalRunner(own.supervisor, folder);
  const devices = new Devices(own, new ModelProcesses(own));
  return {
    registry,
    runs: new RunQueue(own, { registry, library, datasets, adapters: new AdapterRegistry(own), devices, runner }),
  };
};
const client = new AbortController().signal;
const asker: Asker = { client: { gone: client, tell: () => {} }, signal: client };
const request = {
  model: { path: '/model' },
  data: { paths: ['/rows.jsonl'], evalPaths: [] },
  recipe: {},
  device: 'cpu',
} as const;

test('the log of a run says what happened, and nothing twice', async () => {
  const { runs } = queueOf(context);
  const { id } = await runs.start(
    { model: { path: '/model' }, data: { paths: ['/rows.jsonl'], evalPaths: [] }, recipe: {}, device: 'cpu' },
    client,
  );
  const progress = (phase: string, done: number, total: number) =>
    say({ type: 'progress', progress: { phase, done, total, unit: '', secondsLeft: null } });
  progress('Reading the model', 0, 0);
  const job = writtenRun(store.runs.get(id)!.out, written);
  for (const step of [1, 2]) {
    progress('Training', step, 4);
    progress('Evaluating', 0, 4);
    job.evaluation({ step, evalLoss: 1 / step });
  }
  job.checkpoint({ step: 2, path: '/c', bytes: 1, createdAt: 0 });
  runs.stop(id, false);
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  await runs.ended(id);
  expect(store.log.list(id).map(({ text }) => text)).toEqual([
    'Run started.',
    'Reading the model.',
    '4 steps, 96 trainable parameters, computed on cpu.',
    'Step 1: evaluation loss 1.0000.',
    'Step 2: evaluation loss 0.5000.',
    'Step 2: checkpoint saved.',
    'Stop requested. No step has begun, so the run ends now.',
    'Stopped at step 0 after 0.0 s of training.',
  ]);
});

/** Makes every statement fail that writes to the database, as on a full disk. */
function fillDisk(): () => void {
  const full = () => {
    throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
  };
  const { runs: table, metrics, log, sampleProject, adapters } = store;
  const spies = [
    vi.spyOn(table, 'update').mockImplementation(full),
    vi.spyOn(metrics, 'put').mockImplementation(full),
    vi.spyOn(log, 'add').mockImplementation(full),
    vi.spyOn(sampleProject, 'put').mockImplementation(full),
    vi.spyOn(adapters, 'put').mockImplementation(full),
  ];
  return () => spies.forEach((spy) => spy.mockRestore());
}

test('on a full disk a run fails and the next one waits; with space again all of it is stored, and the queue goes on', async () => {
  const told: Run[] = [];
  const full = {
    ...context,
    unsaved: new Unsaved(),
    emit: (name: string, payload: unknown) => name === 'run.changed' && told.push(payload as Run),
  };
  const { registry, runs } = queueOf(full);
  const sample = new SampleProject(full, { library, datasets, runs, evaluations: new Evaluations(full, library, datasets) });
  const [first, second] = [await runs.start(request, client), await runs.start(request, client)];
  const free = fillDisk();
  writtenRun(store.runs.get(first.id)!.out, written);
  await runs.ended(first.id);
  expect(told).toContainEqual(expect.objectContaining({ id: first.id, state: 'failed' }));
  expect(registry.list().find(({ id }) => id === first.id)).toMatchObject({ state: 'failed', problem: { code: 'disk-full' } });
  expect(store.runs.get(first.id)!.state).toBe('running');
  expect(registry.get(second.id).state).toBe('queued');
  // A stop is no error, and to go on is refused for what it is.
  runs.stop(first.id, false);
  expect(() => runs.resume(first.id)).toThrow(expect.objectContaining({ code: 'disk-full' }));
  sample.stop();

  free();
  full.unsaved.retry();
  expect(full.unsaved.busy).toBe(false);
  expect(store.runs.get(first.id)).toMatchObject({ state: 'failed', problem: { code: 'disk-full' } });
  expect(store.log.list(first.id).at(-1)!.text).toContain('disk is full');
  expect(registry.get(second.id).state).toBe('running');
  expect(runs.resume(first.id).state).toBe('queued');
  runs.stop(first.id, false);
  runs.stop(second.id, true);
  await runs.ended(second.id);
  expect(runs.busy).toBe(false);
});

test('what the studio left behind is put right at its start, or once there is space', async () => {
  const { runs } = queueOf(context);
  const mine = await runs.start({ ...request, attached: true }, client);
  const { id } = await runs.start(request, client);
  const free = fillDisk();
  const later = { ...context, unsaved: new Unsaved() };
  const again = queueOf(later);
  again.runs.takeOver();
  expect(again.registry.get(mine.id).state).toBe('interrupted');
  expect(again.registry.get(id).state).toBe('queued');
  free();
  later.unsaved.retry();
  expect(store.runs.get(mine.id)!.state).toBe('interrupted');
  expect(store.runs.get(id)!.state).toBe('running');
  again.runs.stop(id, true);
  await again.runs.ended(id);
});

test('a paused run has its own state, with a checkpoint to go on from, and can still be stopped', async () => {
  const { registry, runs } = queueOf(context);
  const start = () =>
    runs.start(
      { model: { path: '/model' }, data: { paths: ['/rows.jsonl'], evalPaths: [] }, recipe: {}, device: 'cpu' },
      client,
    );
  const [{ id }, waiting] = [await start(), await start()];
  runs.pause(waiting.id);
  expect(registry.get(waiting.id).state).toBe('paused');
  runs.pause(id);
  expect(registry.get(id)).toMatchObject({ state: 'running', phase: 'Pausing' });
  writtenRun(registry.get(id).out, written).checkpoint({ step: 1, path: '/c', bytes: 1, createdAt: 0 });
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  expect(await runs.ended(id)).toMatchObject({ state: 'paused', problem: null });
  expect(store.log.list(id).at(-1)!.text).toContain('Paused at step 0');
  expect(() => runs.pause(id)).toThrow('is neither training nor waiting');

  expect(runs.resume(id).state).toBe('running');
  runs.pause(id);
  // Whoever then stops it does not mean to go on.
  runs.stop(id, false);
  say({ type: 'problem', problem: { code: 'stopped', message: 'Stopped.', hint: '' } });
  exit(1, null);
  expect((await runs.ended(id)).state).toBe('stopped');
  runs.stop(waiting.id, false);
  expect(registry.get(waiting.id).state).toBe('stopped');
});

test('an export whose proof failed keeps every check of it', async () => {
  const projectId = library.createProject('Exports').id;
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
    asker,
  );
  await vi.waitFor(() => expect(store.exports.list(projectId)[0]?.state).toBe('running'));
  say({ type: 'done', result: { path: join(folder, 'x.gguf'), bytes: 0, files: [], proof, refused } });
  exit(0, null);
  await expect(written).rejects.toMatchObject({ code: 'proof-failed' });
  expect(store.exports.list(projectId)[0]).toMatchObject({ state: 'failed', proof, problem: refused, bytes: 0 });
});

test('an export reads rows as the run of its adapter did', async () => {
  const { runs } = queueOf(context);
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
    ...{ bytes: 1, hash: 'h', configHash: null, evalLoss: null, tag: null, createdAt: 0 },
  } satisfies AdapterVersion);
  const out = { format: 'gguf', quantization: 'f32', out: join(folder, 'y.gguf'), proof: true } as const;
  const written = exports.start({ model: { path: '/model' }, adapters: [{ id: 'adapter' }], ...out }, asker);
  await vi.waitFor(() =>
    expect(sent.at(-1)).toMatchObject({
      spec: {
        kind: 'export',
        // What the host knows of the adapter it hands on.
        adapters: [{ path: '/adapter', weight: 1, hash: 'h', configHash: null, runFolder: store.runs.get(runId)!.out }],
        rows: { data: { paths: ['/rows.jsonl'], evalPaths: [] }, split: 'eval' },
        rowSettings: { addEosToken: false },
      },
    }),
  );
  exit(1, null);
  await expect(written).rejects.toMatchObject({ code: 'job-crashed' });
});

test('tokens are told to the one who asked for them, and to nobody else', async () => {
  const everyone: string[] = [];
  const processes = new ModelProcesses({ ...context, emit: (name) => void everyone.push(name) });
  const heard: string[] = [];
  const settings = { maxTokens: 2, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };
  const request = { model: { path: '/model' }, adapters: [], prompt: { text: 'a' }, settings };
  const model = { path: '/model', acceptFields: [] };
  const ask = (streamId: string) =>
    processes.generate(model, { ...request, streamId }, client, ({ text }) => void heard.push(`${streamId}: ${text}`));
  const answers = [ask('mine'), ask('other')];
  await vi.waitFor(() => expect(sent.at(-1)).toMatchObject({ request: { streamId: 'other' } }));
  say({ type: 'token', streamId: 'mine', token: 1, text: 'yes' });
  say({ type: 'token', streamId: 'other', token: 2, text: 'no' });
  exit(1, null);
  await Promise.allSettled(answers);
  expect(heard).toEqual(['mine: yes', 'other: no']);
  expect(everyone).toEqual([]);
});

test('what is asked after a process has failed for good is answered by a new one, even before the old one is gone', async () => {
  const processes = new ModelProcesses(context);
  const model = { path: '/model-of-one', acceptFields: [] };
  const render = (path: string) => processes.render(model, { data: { paths: [path] }, offset: 0 }, asker);
  const started = () => sent.filter((command) => command.type === 'start' && command.spec.kind === 'data').length;
  const before = started();
  const first = render('/bad.jsonl');
  const [sayFirst, exitFirst] = [say, exit];
  const problem = { code: 'tokenizer-unsupported', message: '/bad.jsonl, line 3', hint: '' } as const;
  sayFirst({ type: 'answer', id: 1, answer: { problem } });
  sayFirst({ type: 'problem', problem });
  await expect(first).rejects.toMatchObject(problem);
  const second = render('/good.jsonl');
  exitFirst(null, 'SIGKILL');
  say({ type: 'answer', id: 1, answer: { ok: [] } });
  await expect(second).resolves.toEqual([]);
  expect(started() - before).toBe(2);
  exit(0, null);
});

test('how far a request is, is told to the one who asked; everyone hears it of a data set or an export', async () => {
  const everyone: (string | null)[] = [];
  const told: HostContext = {
    ...context,
    emit: (name, payload) => name === 'job.progress' && everyone.push((payload as { subjectId: string | null }).subjectId),
  };
  const heard: string[] = [];
  const asking = (who: string): Asker => ({
    client: {
      gone: client,
      tell: (_, payload) => heard.push(`${who}: ${(payload as { subjectId: string | null }).subjectId}`),
    },
    signal: client,
  });
  const processes = new ModelProcesses(told);
  const model = { path: '/model-of-two', acceptFields: [] };
  const report = (asker: DataAsker) => processes.report(model, { data: { paths: ['/rows.jsonl'] }, maxLength: 8 }, asker);
  const reports = [report(asking('mine')), report(asking('other')), report({ ...asking('third'), subjectId: 'set' })];
  const progress = { phase: '', done: 1, total: 2, unit: '', secondsLeft: null };
  for (const request of [2, 1, 3]) say({ type: 'progress', request, progress });
  exit(1, null);
  await Promise.allSettled(reports);
  expect(heard).toEqual(['other: null', 'mine: null']);
  expect(everyone).toEqual(['set']);

  const spec = { kind: 'inspect', path: '/x' } as const;
  for (const subjectId of [null, 'export']) {
    startReported(told, spec, subjectId, { asker: asking(`of ${subjectId}`) });
    say({ type: 'progress', progress });
    exit(0, null);
  }
  expect(heard.slice(2)).toEqual(['of null: null', 'of export: null']);
  expect(everyone.slice(1)).toEqual(['export']);
});
