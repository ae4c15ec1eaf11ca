/** The queue survives its host in its order. The jobs exist only as messages; one test kills a real host. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { JobCommand, JobSpec, TrainRequest } from '../../contract.ts';
import { type JobProcess, Supervisor } from '../../jobs/supervisor.ts';
import { processIdentity } from '../../lock.ts';
import { connectHost, hostPlaces } from '../../rpc.ts';
import { openStore, type Store } from '../../store/open.ts';
import { stepOf } from '../../testing/filled-store.ts';
import { writtenRun } from '../../testing/written-run.ts';
import { AdapterRegistry } from '../adapters.ts';
import type { HostContext } from '../context.ts';
import { Datasets } from '../datasets.ts';
import { Devices } from '../devices.ts';
import { Library } from '../library.ts';
import { ModelProcesses } from '../model-processes.ts';
import { Unsaved } from '../unsaved.ts';
import { LocalRunner } from './local-runner.ts';
import { RunQueue } from './queue.ts';
import { RunRegistry } from './registry.ts';
import type { Runner } from './runner.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-queue-'));
const stores: Store[] = [];
afterAll(() => {
  for (const one of stores) one.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
});

let store: Store;
let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(folder, 'data-'));
  store = openStore(dataDir);
  // Jobs of dead hosts may still report to it.
  stores.push(store);
});

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

/** Makes a host that takes over what is stored. An earlier host has died: nobody asks it any more. */
function newHost(elsewhere: Runner | null = null) {
  const started: TrainSpec[] = [];
  const orders: (readonly string[])[] = [];
  let exit: (code: number | null, signal: string | null) => void = () => {};
  const supervisor = new Supervisor((spec): JobProcess => {
    if (spec.kind === 'train') started.push(spec);
    return {
      pid: undefined,
      send: (command: JobCommand) => command.type === 'stop' && queueMicrotask(() => exit(null, 'SIGKILL')),
      onMessage: () => {},
      onExit: (listener) => (exit = listener),
      kill: () => exit(null, 'SIGKILL'),
    };
  });
  const context: HostContext = {
    ...{ dataDir, cacheDir: dataDir, store, supervisor, unsaved: new Unsaved() },
    emit: (name, payload) => name === 'queue.changed' && orders.push(payload as readonly string[]),
  };
  const registry = new RunRegistry(context);
  const devices = new Devices(context, new ModelProcesses(context));
  const adapters = new AdapterRegistry(context);
  const runner = elsewhere ?? new LocalRunner(supervisor, dataDir);
  const runs = new RunQueue(context, {
    registry,
    library: new Library(context),
    datasets: new Datasets(context),
    adapters,
    devices,
    runner,
  });
  return { runs, registry, started, orders };
}
const request: TrainRequest = {
  model: { path: '/model' },
  data: { paths: ['/rows.jsonl'], evalPaths: [] },
  recipe: { rank: 2 },
  device: 'cpu',
};
const client = new AbortController().signal;

async function threeRuns(runs: RunQueue): Promise<[string, string, string]> {
  const [first, second, third] = [
    await runs.start(request, client),
    await runs.start(request, client),
    await runs.start(request, client),
  ];
  return [first.id, second.id, third.id];
}

test('what waits goes on in its order when the host has died, and so does what trained, from its checkpoint', async () => {
  const before = newHost();
  const [first, second, third] = await threeRuns(before.runs);
  before.runs.move(third, 1);
  store.checkpoints.put(first, { step: 4, path: '/c', bytes: 1, createdAt: 0 }, 2);

  const { runs, registry, started } = newHost();
  runs.takeOver();
  expect(runs.order).toEqual([first, third, second]);
  expect(runs.order.map((id) => registry.get(id).state)).toEqual(['running', 'queued', 'queued']);
  expect(started.map(({ out }) => out)).toEqual([registry.get(first).out]);
  expect(store.log.list(first).map(({ text }) => text)).toContain('The studio closed while the run was training.');
  runs.stop(first, true);
  await runs.ended(first);
  expect(registry.get(third).state).toBe('running');
});

test('a run goes on by itself once from each checkpoint: what ends the studio again and again is not begun again', async () => {
  const [id] = await threeRuns(newHost().runs);
  newHost().runs.takeOver();
  store.checkpoints.put(id, { step: 4, path: '/c', bytes: 1, createdAt: 0 }, 2);
  const third = newHost();
  third.runs.takeOver();
  expect(third.registry.get(id).state).toBe('running');
  const fourth = newHost();
  fourth.runs.takeOver();
  expect(fourth.registry.get(id).state).toBe('interrupted');
  expect(fourth.runs.order).toHaveLength(2);
  // Whoever asks for it may try once more.
  fourth.runs.resume(id);
  expect(fourth.runs.order.at(-1)).toBe(id);
});

test('what somebody has stopped, and what belongs to a client, does not go on', async () => {
  const { runs } = newHost();
  const attached = await runs.start({ ...request, attached: true }, client);
  const [second, third] = await threeRuns(runs);
  runs.pause(third);
  const next = newHost();
  next.runs.takeOver();
  expect(next.registry.get(attached.id).state).toBe('interrupted');
  expect(next.registry.get(third).state).toBe('paused');
  expect(next.runs.order[0]).toBe(second);
  // The host dies while the job saves its last checkpoint.
  next.runs.stop(second, false);
  const after = newHost();
  after.runs.takeOver();
  expect(after.registry.get(second).state).toBe('interrupted');
});

test('a run that came to its end while no host read it has ended, and the next one begins', async () => {
  const { runs } = newHost();
  const [first, second] = await threeRuns(runs);
  const folder = writtenRun(store.runs.get(first)!.out, () => {});
  for (const step of [1, 2, 3, 4]) folder.step(stepOf(step, 1));
  folder.published(4, {
    rank: 2,
    alpha: 4,
    targetModules: ['q_proj'],
    parameters: 96,
    bytes: 500,
    hash: 'h',
    configHash: null,
  });
  folder.end('done', null);
  const next = newHost();
  // Whoever waits for it, as the sample of the first start does, hears of it.
  expect(next.runs.takeOver()[0]).toBe(first);
  expect(store.adapters.ofRun(first)).toMatchObject({ hash: 'h', step: 4 });
  expect(await next.runs.ended(first)).toMatchObject({ state: 'done', step: 4 });
  expect(next.registry.get(second).state).toBe('running');
  expect(store.log.list(first).at(-1)!.text).toContain('Done at step 4');
});

test('a run is computed by whatever writes its folder', async () => {
  const { runs } = newHost({
    start(_, out, { onWritten }) {
      const folder = writtenRun(out, onWritten);
      for (const step of [1, 2, 3, 4]) folder.step(stepOf(step, 1 / step));
      return {
        ...{ id: 'elsewhere', identity: { machine: 'another' } },
        ...{ finished: Promise.resolve(), underway: false, stop: () => {}, kill: () => {} },
      };
    },
    end: () => {},
  });
  const [first, second] = await threeRuns(runs);
  expect(await runs.ended(first)).toMatchObject({ state: 'done', step: 4, lastLoss: 0.25 });
  expect(await runs.ended(second)).toMatchObject({ state: 'done', step: 4 });
});

test('what was asked for anew of a run that waits to go on is kept', async () => {
  const { runs } = newHost();
  const [, second] = await threeRuns(runs);
  runs.pause(second);
  const { out } = store.runs.get(second)!;
  const evalPaths = ['/other.jsonl'];
  store.runs.update(second, { state: 'paused' });
  await runs.start(
    { ...request, out, resume: true, recipe: { maxSteps: 9 }, data: { paths: ['/rows.jsonl'], evalPaths } },
    client,
  );
  const { runs: next, started, registry } = newHost();
  next.takeOver();
  for (const id of next.order.slice(0, 2)) {
    next.stop(id, true);
    await next.ended(id);
  }
  expect(registry.get(second).state).toBe('running');
  expect(started.at(-1)).toMatchObject({ data: { evalPaths }, recipe: { maxSteps: 9 } });
});

test.skipIf(process.platform === 'win32')(
  'a run that another data folder trains is neither gone on with nor removed',
  async () => {
    const { runs, registry } = newHost();
    const { id, out } = await runs.start(request, client);
    writtenRun(out, () => {});
    runs.stop(id, true);
    await runs.ended(id);
    const lock = join(out, 'run.lock');
    writeFileSync(lock, JSON.stringify(processIdentity(process.ppid)));
    const refused = { code: 'not-allowed', message: `A run is already training in ${out}.` };
    await expect(runs.start({ ...request, out, resume: true }, client)).rejects.toMatchObject(refused);
    expect(() => runs.resume(id)).toThrow(expect.objectContaining(refused));
    expect(() => registry.remove(id)).toThrow(expect.objectContaining(refused));
    rmSync(lock);
    registry.remove(id);
    expect(existsSync(out)).toBe(false);
  },
);

test('a run from a version of an adapter is told which file that is', async () => {
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.adapters.put({
    ...{
      id: 'a',
      projectId: 'p',
      name: 'A',
      path: '/a',
      runId: null,
      runName: null,
      step: null,
      modelId: null,
      modelName: 'm',
    },
    ...{
      modelPath: '/model',
      datasetName: null,
      rank: 1,
      alpha: 1,
      targetModules: [],
      parameters: 1,
      bytes: 1,
      hash: 'h',
      configHash: 'c',
    },
    ...{ evalLoss: null, tag: null, createdAt: 0 },
  });
  const { runs, started } = newHost();
  const { id } = await runs.start({ ...request, adapter: { id: 'a' } }, client);
  const other = await runs.start({ ...request, adapter: { path: '/a/' } }, client);
  const unknown = await runs.start({ ...request, adapter: { path: '/b' } }, client);
  expect(started[0]).toMatchObject({ adapterPath: '/a', adapterHash: 'h', adapterConfigHash: 'c' });
  runs.stop(id, true);
  await runs.ended(id);
  // A version that is named by its path is that version.
  expect(started[1]).toMatchObject({ adapterPath: '/a', adapterHash: 'h', adapterConfigHash: 'c' });
  runs.stop(other.id, true);
  await runs.ended(other.id);
  expect(started[2]).toMatchObject({ adapterPath: '/b' });
  expect(started[2]).not.toHaveProperty('adapterHash');
  runs.stop(unknown.id, true);
  await runs.ended(unknown.id);
});

test('what waits can be given another place; what trains keeps its own', async () => {
  const { runs, orders } = newHost();
  const [first, second, third] = await threeRuns(runs);
  expect(runs.move(third, 1)).toEqual([first, third, second]);
  expect(orders.at(-1)).toEqual([first, third, second]);
  expect(runs.move(third, 99)).toEqual([first, second, third]);
  expect(() => runs.move(first, 2)).toThrow('is not waiting in the queue');
  expect(() => runs.move('nobody', 1)).toThrow(expect.objectContaining({ code: 'not-found' }));
});

test('a host that is killed with three runs waiting is followed by one in which all end', { timeout: 300_000 }, async () => {
  const golden = (name: string) => fileURLToPath(new URL(`../../golden/llama-tied/${name}`, import.meta.url));
  const place = join(folder, 'killed');
  const start = (name: string, maxSteps: number) =>
    living.request('runs.start', {
      model: { path: golden('model') },
      data: { paths: [golden('rows.jsonl')], evalPaths: [] },
      recipe: { rank: 2, maxSteps, evalEvery: 0, saveEvery: 20, learningRate: 1e-5 },
      name,
    });
  const living = await connectHost(place);
  const trains = await start('trains', 400);
  for (const name of ['one', 'two', 'three']) await start(name, 2);
  await expect.poll(async () => (await living.request('runs.checkpoints', { id: trains.id })).length).toBeGreaterThan(0);
  const closed = new Promise<void>((done) => living.onClose(() => done()));
  process.kill((JSON.parse(readFileSync(hostPlaces(place).lock, 'utf8')) as { pid: number }).pid, 'SIGKILL');
  await closed;

  const client = await connectHost(place);
  const all = () => client.request('runs.list', {});
  await expect.poll(async () => (await all()).map(({ state }) => state)).toEqual(Array(4).fill('done'));
  const finished = (await all()).toSorted((a, b) => a.finishedAt! - b.finishedAt!);
  expect(finished.map(({ name }) => name)).toEqual(['trains', 'one', 'two', 'three']);
  const { steps } = await client.request('runs.metrics', { id: trains.id, afterStep: 0 });
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
  client.close();
});
