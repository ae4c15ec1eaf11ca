/** These tests run a host whose disk is really full. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { connectHost, type HostClient, hostPlaces } from '../rpc.ts';
import { fillDisk, mountSmallDisk, unmountSmallDisk } from '../testing/small-disk.ts';

const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lowrank-full-'));
const disk = join(folder, 'disk');
const isMounted = mountSmallDisk(disk, 48);
let client: HostClient | undefined;
afterAll(async () => {
  client?.close();
  // The host leaves within seconds of its last client.
  if (isMounted) await vi.waitFor(() => expect(unmountSmallDisk(disk)).toBe(true), { timeout: 30_000, interval: 300 });
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
});

test.skipIf(!isMounted)('a disk that fills up during a run ends that run; with space again all goes on', async () => {
  const dataDir = join(disk, 'data');
  const living = (client = await connectHost(dataDir));
  const host = readFileSync(hostPlaces(dataDir).lock, 'utf8');
  const start = (name: string) =>
    living.request('runs.start', {
      model: { path: golden('model') },
      data: { paths: [golden('rows.jsonl')], evalPaths: [] },
      recipe: { maxSteps: 1_000_000, batchSize: 1, evalEvery: 0, saveEvery: 0 },
      device: 'cpu',
      out: join(folder, name),
    });
  const get = (id: string) => living.request('runs.get', { id });
  const [first, second] = [await start('first'), await start('second')];
  await vi.waitFor(async () => expect((await get(first.id)).step).toBeGreaterThan(0), { timeout: 30_000 });

  fillDisk(join(disk, 'filler'));
  await vi.waitFor(async () => expect((await get(first.id)).state).toBe('failed'), { timeout: 30_000 });
  expect(await get(first.id)).toMatchObject({ problem: { code: 'disk-full' } });
  expect((await get(second.id)).state).toBe('queued');
  await expect(living.request('projects.create', { name: 'More' })).rejects.toMatchObject({ code: 'disk-full' });

  rmSync(join(disk, 'filler'));
  await vi.waitFor(async () => expect((await get(second.id)).state).toBe('running'), { timeout: 30_000 });
  expect(await living.request('runs.resume', { id: first.id })).toMatchObject({ state: 'queued', problem: null });
  for (const { id } of [first, second]) await living.request('runs.stop', { id, force: true });
  await vi.waitFor(async () => expect((await get(second.id)).state).toBe('stopped'));
  expect(readFileSync(hostPlaces(dataDir).lock, 'utf8')).toBe(host);
});
