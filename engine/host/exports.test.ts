/** The next host removes what exports left behind when they were killed with their host. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { ExportRecord } from '../contract.ts';
import { connectHost, hostPlaces } from '../rpc.ts';
import { openStore } from '../store/open.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-exports-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

test('the work folder of an export that was killed with its host is removed at the next start', async () => {
  const { dataDir } = hostPlaces(join(folder, 'data'));
  const store = openStore(dataDir);
  const projectId = 'project';
  store.projects.insert({ id: projectId, name: 'Tests', createdAt: 0 });
  const out = join(folder, 'out', 'model.gguf');
  const record: ExportRecord = {
    ...{ id: 'export', projectId, adapterId: null, adapterName: 'a', modelName: 'm', format: 'gguf', quantization: 'f16' },
    ...{ path: out, bytes: 0, state: 'running', proof: null, files: [], problem: null, createdAt: 0 },
  };
  store.exports.put(record);
  store.close();
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const left = join(folder, 'out', `.partial-model.gguf-${gone}`);
  mkdirSync(left, { recursive: true });
  writeFileSync(join(left, 'model.gguf'), 'half');

  const client = await connectHost(dataDir);
  try {
    await expect.poll(() => existsSync(left)).toBe(false);
    expect(existsSync(join(folder, 'out'))).toBe(true);
    const [export_] = await client.request('exports.list', { projectId });
    expect(export_).toMatchObject({ state: 'stopped', problem: { code: 'stopped' } });
  } finally {
    client.close();
  }
});
