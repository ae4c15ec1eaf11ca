/** What an export replaces: only what somebody said may go, only when the new one is whole, and never anything else. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, existsSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { runExport } from '../jobs/export.ts';
import { killedAt } from '../testing/killed-at.ts';
import { manifestName } from './manifest.ts';
import { publish, tidyAbandoned } from './publish.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const root = mkdtempSync(join(tmpdir(), 'publish-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
let work: string;
beforeEach(() => {
  work = join(root, String(count++));
  mkdirSync(work);
});

const manifest = {
  ...{ version: 1, format: 'peft', quantization: null, proof: null, files: [{ name: 'a', bytes: 3, sha256: '' }] },
  lineage: { exportId: 'e', studio: '1', base: { name: 'b', hash: '', licence: null }, adapters: [], data: null },
};
function oldFolder(path: string): void {
  mkdirSync(path);
  writeFileSync(join(path, 'a'), 'old');
  writeFileSync(join(path, manifestName), JSON.stringify(manifest));
}
const newFolder = (partial: string): Promise<void> => Promise.resolve(writeFileSync(join(partial, 'a'), 'new'));
const newFile = (partial: string): Promise<void> => Promise.resolve(writeFileSync(partial, 'new'));
const fails = (): Promise<void> => Promise.reject(new Error('no proof'));

describe.each([
  ['a folder', true],
  ['a file', false],
] as const)('%s', (_, folder) => {
  const content = (path: string): string => readFileSync(folder ? join(path, 'a') : path, 'utf8');
  const write = folder ? newFolder : newFile;
  const begin = (): string => {
    const path = join(work, 'out');
    if (folder) oldFolder(path);
    else writeFileSync(path, 'old');
    return path;
  };

  it('is refused, replaced when that was said, and kept when the new one fails', async () => {
    const path = begin();
    await expect(publish({ path, folder, replace: false }, 1, write)).rejects.toMatchObject({ code: 'folder-not-empty' });
    await expect(publish({ path, folder, replace: true }, 1, fails)).rejects.toThrow('no proof');
    expect(content(path)).toBe('old');
    await publish({ path, folder, replace: true }, 1, write);
    expect(content(path)).toBe('new');
    expect(readdirSync(work)).toEqual(['out']);
  });

  it('is whole, as it was or new, after a kill at any change and the next try', async () => {
    const whole = await killedAt(Infinity, () => publish({ path: begin(), folder, replace: true }, 1, write));
    for (let at = 1; at <= whole.changes; at++) {
      rmSync(work, { recursive: true });
      mkdirSync(work);
      const path = begin();
      await killedAt(at, () => publish({ path, folder, replace: true }, 1, write));
      await publish({ path, folder, replace: true }, 1, fails).catch(() => {});
      // A folder that was just replaced has no papers in this test, and so is not replaced again.
      expect(['old', 'new'], `change ${at}`).toContain(content(path));
    }
  });
});

it('never replaces a folder that no export has written, or that holds more than it wrote, or what is of another kind', async () => {
  const place = { path: join(work, 'out'), folder: true, replace: true };
  oldFolder(place.path);
  writeFileSync(join(place.path, 'thesis.txt'), '');
  await expect(publish(place, 1, newFolder)).rejects.toThrow("'thesis.txt', which no export has written");
  rmSync(join(place.path, manifestName));
  await expect(publish(place, 1, newFolder)).rejects.toThrow('was not written by an export');
  await expect(publish({ ...place, folder: false }, 1, newFile)).rejects.toThrow('is a folder, and a file is to be written');
  expect(readdirSync(place.path).sort()).toEqual(['a', 'thesis.txt']);
});

it('never takes the place of what it is made of, and leaves a proved file alone when the next proof fails', async () => {
  const silent = { send: () => {}, stopRequested: false, onRequest: () => {}, untilStopped: () => new Promise<void>(() => {}) };
  const modelPath = join(work, 'model');
  const adapterPath = join(work, 'adapter');
  cpSync(join(golden, 'model'), modelPath, { recursive: true });
  cpSync(join(golden, 'adapter'), adapterPath, { recursive: true });
  const spec: Extract<JobSpec, { kind: 'export' }> = {
    ...{
      kind: 'export',
      model: { path: modelPath },
      adapters: [{ path: adapterPath, weight: 1 }],
      format: 'peft',
      quantization: null,
    },
    ...{ out: adapterPath, proof: false, replace: true, cacheDir: join(work, 'cache') },
  };
  await expect(runExport(spec, silent)).rejects.toThrow('contains a source of the export');
  await expect(runExport({ ...spec, format: 'safetensors', out: modelPath }, silent)).rejects.toThrow('a source of the export');
  expect(existsSync(join(adapterPath, 'adapter_model.safetensors'))).toBe(true);

  const gguf = { ...spec, format: 'gguf', quantization: 'f32', out: join(work, 'model.gguf'), proof: true } as const;
  await runExport(gguf, silent);
  const before = readFileSync(gguf.out);
  await expect(runExport({ ...gguf, replace: false }, silent)).rejects.toMatchObject({ code: 'folder-not-empty' });
  await expect(runExport({ ...gguf, rows: { data: { paths: [join(work, 'missing.jsonl')] } } }, silent)).rejects.toThrow();
  expect(readFileSync(gguf.out).equals(before)).toBe(true);
  await runExport({ ...gguf, quantization: 'q8_0' }, silent);
  expect(readFileSync(gguf.out).length).toBeLessThan(before.length);
});

describe('what a killed export left behind', () => {
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const leave = (folder: string, name: string, pid: number): string => {
    const left = join(folder, `.partial-${name}-${pid}`);
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, 'half'), 'half');
    return left;
  };

  it('is removed beside its place and in it, and what it had put aside gets its name back', async () => {
    const out = join(work, 'out');
    const left = leave(work, 'out', gone);
    oldFolder(join(left, 'replaced'));
    await tidyAbandoned(out);
    expect(readdirSync(work)).toEqual(['out']);
    expect(readFileSync(join(out, 'a'), 'utf8')).toBe('old');
    leave(out, 'model.gguf', gone);
    await tidyAbandoned(out);
    expect(readdirSync(out).sort()).toEqual(['a', manifestName].sort());
  });

  it('is left alone where it may be somebody else’s, and removed only once its process has ended', async () => {
    const out = join(work, 'out');
    const others = [
      leave(work, 'another', gone),
      join(work, '.partial-out'),
      join(work, 'partial-out-1'),
      join(work, `out-${gone}`),
    ];
    for (const path of others.slice(1)) mkdirSync(path);
    const owner = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 1500)']);
    const left = leave(work, 'out', owner.pid!);
    const tidied = tidyAbandoned(out);
    await new Promise((done) => setTimeout(done, 300));
    expect(existsSync(left)).toBe(true);
    await tidied;
    expect(existsSync(left)).toBe(false);
    expect(others.every((path) => existsSync(path))).toBe(true);
    await tidyAbandoned(join(work, 'nowhere', 'out'));
  });
});
