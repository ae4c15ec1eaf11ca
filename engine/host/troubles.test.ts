/** A host gets into trouble: its log is full, another program holds its database, or its folder is moved away. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { connectHost, hostPlaces } from '../rpc.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-troubles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));
const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const wait = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

test.skipIf(process.platform !== 'linux')('a log that takes no line more keeps nobody from being answered', async () => {
  const { dataDir, socket } = hostPlaces(join(folder, 'log'));
  const full = openSync('/dev/full', 'w');
  const host = spawn(process.execPath, [fileURLToPath(new URL('../host.ts', import.meta.url)), '--data-dir', dataDir], {
    stdio: ['ignore', full, full],
  });
  try {
    await expect.poll(() => existsSync(socket)).toBe(true);
    const client = await connectHost(dataDir);
    for (let line = 0; line < 20; line++) {
      const stranger = createConnection(socket, () => stranger.write('null\n'));
      stranger.resume();
      await new Promise<void>((done) => stranger.on('error', () => {}).on('close', () => done()));
    }
    expect(await client.request('projects.list', undefined)).toEqual([]);
    client.close();
  } finally {
    host.kill('SIGKILL');
  }
});

test('a database that another program holds is waited for, named, and loses no run that waits', async () => {
  const dataDir = join(folder, 'held');
  const client = await connectHost(dataDir);
  const start = (maxSteps: number) =>
    client.request('runs.start', {
      model: { path: golden('model') },
      data: { paths: [golden('rows.jsonl')], evalPaths: [] },
      recipe: { rank: 2, maxSteps, evalEvery: 0, saveEvery: 0, learningRate: 1e-5 },
    });
  const [first, second] = [await start(1_000_000), await start(2)];
  const state = async (id: string) => (await client.request('runs.get', { id })).state;
  await expect.poll(async () => (await client.request('runs.get', { id: first.id })).step).toBeGreaterThan(0);

  const other = new Database(join(dataDir, 'studio.sqlite'));
  other.exec('BEGIN IMMEDIATE');
  await expect(client.request('projects.create', { name: 'Held' })).rejects.toMatchObject({ code: 'store-unavailable' });
  await expect.poll(() => state(first.id)).toBe('failed');
  expect(await state(second.id)).toBe('queued');
  other.exec('ROLLBACK');
  other.close();
  await expect.poll(() => state(second.id)).toBe('done');
  expect((await client.request('runs.get', { id: first.id })).problem!.code).toBe('store-unavailable');
  await client.request('runs.resume', { id: first.id });
  await client.request('runs.stop', { id: first.id, force: true });
  client.close();
});

test.skipIf(process.platform === 'win32')(
  'a data folder that is moved away is missed, and its host leaves the next one alone',
  async () => {
    const dataDir = join(folder, 'moved');
    const early = await connectHost(dataDir);
    await early.request('projects.create', { name: 'Early' });
    renameSync(dataDir, join(folder, 'elsewhere'));
    const late = await connectHost(dataDir);
    expect(await late.request('projects.list', undefined)).toEqual([]);
    await expect
      .poll(() => early.request('projects.create', { name: 'Lost' }).catch(({ code }: { code: string }) => code), {
        timeout: 10_000,
      })
      .toBe('file-missing');
    early.close();
    // Longer than a host stays that nobody asks any more.
    await wait(4500);
    const another = await connectHost(dataDir);
    await another.request('projects.create', { name: 'Late' });
    expect((await late.request('projects.list', undefined)).map(({ name }) => name)).toEqual(['Late']);
    another.close();
    late.close();
    renameSync(dataDir, join(folder, 'third'));
  },
);
