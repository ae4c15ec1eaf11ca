import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { Supervisor, type JobProcess } from '../jobs/supervisor.ts';
import type { Store } from '../store/open.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import { Devices } from './devices.ts';
import { Unsaved } from './unsaved.ts';

type Trial = Extract<JobSpec, { kind: 'trial' }>;

const folder = mkdtempSync(join(tmpdir(), 'lowrank-devices-'));
let tried: Trial[];
const emitted = vi.fn();

const changed = { code: 'adapter-changed', message: 'It has changed.', hint: '' } as const;

/** Makes devices whose trials end as `end` says: with figures, with a crash, or because their adapter has changed. */
function devices(end: (spec: Trial) => { readonly gflops: number } | 'crash' | 'changed'): Devices {
  const spawn = (spec: JobSpec): JobProcess => {
    const trial = spec as Trial;
    tried.push(trial);
    const how = end(trial);
    return {
      pid: undefined,
      send: () => {},
      onMessage: (listener) => {
        if (how === 'changed') queueMicrotask(() => listener({ type: 'problem', problem: changed }));
        else if (how !== 'crash') queueMicrotask(() => listener({ type: 'done', result: { difference: 1e-6, ...how } }));
      },
      onExit: (listener) => void setTimeout(() => listener(how === 'crash' ? null : 0, how === 'crash' ? 'SIGSEGV' : null)),
      kill: () => {},
    };
  };
  const supervisor = new Supervisor(spawn);
  return new Devices(
    { dataDir: folder, cacheDir: folder, store: {} as Store, supervisor, unsaved: new Unsaved(), emit: emitted },
    { trialKey: (subject) => Promise.resolve(trialKey(trialFor(subject))) },
  );
}
const webgpu = async (own: Devices) => (await own.measure(false)).devices.find(({ provider }) => provider === 'webgpu')!;
const run = {
  model: { path: join(import.meta.dirname, '../golden/gemma2/model') },
  adapterPath: null,
  recipe: {},
};

beforeEach(() => {
  tried = [];
  rmSync(join(folder, 'devices.json'), { force: true });
  // Whatever is on this machine, WebGPU may be there.
  vi.stubEnv('VK_ICD_FILENAMES', '/driver.json');
  vi.spyOn(process, 'platform', 'get').mockReturnValue('linux');
  vi.spyOn(process, 'arch', 'get').mockReturnValue('x64');
  emitted.mockClear();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('the fastest device that passes is used, with what was measured', async () => {
  const own = devices(({ provider }) => ({ gflops: provider === 'cpu' ? 100 : 5000 }));
  expect(await webgpu(own)).toMatchObject({ usable: true, reason: null, measured: { difference: 1e-6, gflops: 5000 } });
  expect(own.get().chosen).toBe('webgpu');
  expect((await devices(({ provider }) => ({ gflops: provider === 'cpu' ? 100 : 5 })).measure(true)).chosen).toBe('cpu');
});

test('what came out is kept: the next start tries nothing', async () => {
  const end = ({ provider }: Trial) => (provider === 'cpu' ? { gflops: 100 } : ('crash' as const));
  await devices(end).measure(false);
  const count = tried.length;
  expect(count).toBeGreaterThanOrEqual(2);
  const next = devices(end);
  expect(await webgpu(next)).toMatchObject({ usable: false, reason: expect.stringContaining('SIGSEGV') as string });
  expect(tried.length).toBe(count);
  await next.measure(true);
  expect(tried.length).toBe(2 * count);
});

test('a device that fails at the workload of a run is refused for it, and for no other', async () => {
  const own = devices(({ provider, subject }) => (provider === 'webgpu' && subject !== null ? 'crash' : { gflops: 100 }));
  expect(own.forRun(run)).toBeNull();
  await own.tryFor(run);
  const judged = own.forRun(run)!.find(({ provider }) => provider === 'webgpu');
  expect(judged).toMatchObject({ usable: false, reason: expect.stringContaining('SIGSEGV') as string });
  expect(await webgpu(own)).toMatchObject({ usable: true });
});

test('asking what is there answers at once and tells when it is known', async () => {
  const own = devices(() => ({ gflops: 100 }));
  expect(own.get().devices.find(({ provider }) => provider === 'webgpu')).toMatchObject({ usable: false });
  await vi.waitFor(() => expect(emitted).toHaveBeenCalledWith('machine.changed', expect.anything()));
  expect(own.get().devices.find(({ provider }) => provider === 'webgpu')).toMatchObject({ usable: true });
});

test('a trial that finds another adapter than was recorded ends the run, and says nothing about the device', async () => {
  let isChanged = true;
  const own = devices(({ subject }) => (subject !== null && isChanged ? 'changed' : { gflops: 100 }));
  await expect(own.tryFor(run)).rejects.toMatchObject({ code: 'adapter-changed' });
  isChanged = false;
  await own.tryFor(run);
  expect(own.forRun(run)!.find(({ provider }) => provider === 'webgpu')).toMatchObject({ usable: true });
});
