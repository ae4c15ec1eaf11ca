/**
 * These tests put a database on a disk that is really full, with jobs that exist only as messages; full-disk.long.test.ts has
 * the whole host.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { JobMessage } from '../contract.ts';
import { type JobProcess, Supervisor } from '../jobs/supervisor.ts';
import { openStore } from '../store/open.ts';
import { stepOf } from '../testing/filled-store.ts';
import { writtenRun } from '../testing/written-run.ts';
import { fillDisk, mountSmallDisk, unmountSmallDisk } from '../testing/small-disk.ts';
import { AdapterRegistry } from './adapters.ts';
import type { HostContext } from './context.ts';
import { Datasets } from './datasets.ts';
import { Devices } from './devices.ts';
import { Library } from './library.ts';
import { ModelProcesses } from './model-processes.ts';
import { LocalRunner } from './runs/local-runner.ts';
import { RunQueue } from './runs/queue.ts';
import { RunRegistry } from './runs/registry.ts';
import { Unsaved } from './unsaved.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-full-'));
const disk = join(folder, 'disk');
const isMounted = mountSmallDisk(disk, 8);
afterAll(() => {
  if (isMounted) expect(unmountSmallDisk(disk)).toBe(true);
  rmSync(folder, { recursive: true, force: true });
});

test.skipIf(!isMounted)(
  'a run that meets a full disk ends, the next waits, and with space again both are stored as they are',
  async () => {
    const store = openStore(disk);
    const say: ((message: JobMessage) => void)[] = [];
    const supervisor = new Supervisor((): JobProcess => {
      let exit: (code: number | null, signal: string | null) => void = () => {};
      return {
        pid: undefined,
        send: () => {},
        onMessage: (listener) => say.push(listener),
        onExit: (listener) => (exit = listener),
        kill: () => exit(null, 'SIGKILL'),
      };
    });
    const unsaved = new Unsaved();
    const context: HostContext = { dataDir: disk, cacheDir: disk, store, supervisor, unsaved, emit: () => {} };
    const projectId = 'p';
    store.projects.insert({ id: projectId, name: 'P', createdAt: 1 });
    const devices = new Devices(context, new ModelProcesses(context));
    const registry = new RunRegistry(context);
    const library = new Library(context);
    const datasets = new Datasets(context);
    const parts = { registry, library, datasets, adapters: new AdapterRegistry(context), devices };
    const runs = new RunQueue(context, { ...parts, runner: new LocalRunner(supervisor, disk) });
    const start = () =>
      runs.start(
        {
          projectId,
          model: { path: '/model' },
          data: { paths: ['/rows.jsonl'], evalPaths: [] },
          recipe: {},
          device: 'cpu',
          out: join(folder, `run-${registry.list().length}`),
        },
        new AbortController().signal,
      );
    const [first, second] = [await start(), await start()];

    fillDisk(join(disk, 'filler'));
    const job = writtenRun(registry.get(first.id).out, () => {}, { totalSteps: 2000 });
    for (let step = 1; step <= 2000 && registry.get(first.id).state === 'running'; step++) {
      job.step(stepOf(step, 1));
      say[0]!({ type: 'written', slowestStep: 1 });
      await new Promise((done) => setImmediate(done));
    }
    expect(registry.get(first.id)).toMatchObject({ state: 'failed', problem: { code: 'disk-full' } });
    expect(store.runs.get(first.id)!.state).toBe('running');
    expect(registry.get(second.id).state).toBe('queued');
    expect(() => runs.resume(first.id)).toThrow(expect.objectContaining({ code: 'disk-full' }));

    rmSync(join(disk, 'filler'));
    unsaved.retry();
    expect(store.runs.get(first.id)).toMatchObject({ state: 'failed', problem: { code: 'disk-full' } });
    expect(store.runs.get(second.id)!.state).toBe('running');
    runs.stop(second.id, true);
    await runs.ended(second.id);
    store.close();
  },
);
