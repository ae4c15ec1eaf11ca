/** Whatever lies where the lock should be, the next host starts at once; only one that lives is left alone. */
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { connectHost, hostPlaces } from './rpc.ts';
import { holdName, isAlive, lockHolder, processIdentity, releaseLock, takeLock } from './lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-lock-'));
const path = join(folder, 'lock');
const identity = processIdentity(process.pid)!;
const lives = (change: object) => JSON.stringify({ ...identity, ...change });
const write = (text: string) => () => writeFileSync(path, text);
beforeEach(() => rmSync(path, { recursive: true, force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

/** The id of a process that has ended. */
const ended = (): number => spawnSync(process.execPath, ['-e', '']).pid;

test.skipIf(process.platform === 'win32').each<[string, () => unknown]>([
  ['that is empty', write('')],
  ['of garbage', () => writeFileSync(path, Buffer.from([0, 255, 1, 254]))],
  ['cut off in the middle', write('{"pid":')],
  ['of JSON that means nothing', write('[null]')],
  ['of many megabytes', write('x'.repeat(20_000_000))],
  ['that is a folder', () => mkdirSync(join(path, 'within'), { recursive: true })],
  ['that is a link to nothing', () => symlinkSync(join(folder, 'nothing'), path)],
  ['that is a pipe nobody writes to', () => spawnSync('mkfifo', [path])],
  ['of a process that has ended', () => writeFileSync(path, lives({ pid: ended() }))],
  ['of a process whose id another one has now', write(lives({ started: '1' }))],
  ['of a process that started unknown when', write(lives({ started: null }))],
  ['of all processes at once', write(lives({ pid: 0 }))],
  ['of no process', write(lives({ pid: -1 }))],
  ['of another machine, or of this one before it started again', write(lives({ boot: 'another' }))],
])('a lock %s is taken at once', async (_, leave) => {
  leave();
  const began = performance.now();
  expect(await takeLock(path, path)).toBe(true);
  expect(performance.now() - began).toBeLessThan(1000);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(identity);
  expect(readdirSync(folder).filter((name) => name.startsWith('lock'))).toEqual(['lock']);
  releaseLock(path);
  expect(existsSync(path)).toBe(false);
});

test.skipIf(process.platform === 'win32')(
  'a lock of a living process is not taken, also one of an earlier studio',
  async () => {
    const { boot: _, ...earlier } = identity;
    for (const held of [identity, earlier]) {
      writeFileSync(path, JSON.stringify(held));
      expect(await takeLock(path, path)).toBe(false);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(held);
    }
  },
);

test.skipIf(process.platform === 'win32')('a lock is held where its folder is moved, and free in a copy of it', async () => {
  const [original, copy, moved] = ['original', 'copy', 'moved'].map((name) => join(folder, name, 'host')) as [
    string,
    string,
    string,
  ];
  mkdirSync(original, { recursive: true });
  expect(await takeLock(join(original, 'lock'), path)).toBe(true);
  cpSync(original, copy, { recursive: true });
  renameSync(join(folder, 'original'), join(folder, 'moved'));
  expect(lockHolder(join(moved, 'lock'))).toMatchObject(identity);
  expect(await takeLock(join(moved, 'lock'), path)).toBe(false);
  expect(lockHolder(join(copy, 'lock'))).toBeNull();
  expect(await takeLock(join(copy, 'lock'), path)).toBe(true);
});

test('a zombie does not live', { retry: 2 }, async () => {
  if (process.platform !== 'linux') return;
  // The shell's child ends and is never asked how.
  const shell = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 5'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = Number(await new Promise<Buffer>((done) => shell.stdout.once('data', done)));
  const was = processIdentity(pid)!;
  expect(isAlive(was)).toBe(true);
  await new Promise((done) => setTimeout(done, 200));
  expect(isAlive(was)).toBe(false);
  shell.kill();
});

test('a name of the system is held by one process up to its end', async () => {
  // Windows has pipes for this; a name of Linux that is in no folder goes with its process in the same way.
  const name = process.platform === 'win32' ? `\\\\.\\pipe\\lowrank-test-${process.pid}` : `\0lowrank-test-${process.pid}`;
  if (process.platform === 'darwin') return;
  const script = `
    import(${JSON.stringify(new URL('./lock.ts', import.meta.url).href)}).then(async ({ holdName }) => {
      console.log(await holdName(process.argv[1].replace('@', '\\0')));
      setInterval(() => {}, 1000);
    });`;
  const holder = spawn(process.execPath, ['-e', script, name.replace('\0', '@')], { stdio: ['ignore', 'pipe', 'inherit'] });
  expect(String(await new Promise<Buffer>((done) => holder.stdout.once('data', done))).trim()).toBe('true');
  expect(await holdName(name)).toBe(false);
  const gone = new Promise((done) => holder.on('exit', done));
  holder.kill('SIGKILL');
  await gone;
  expect(await holdName(name)).toBe(true);
});

test.skipIf(process.platform === 'win32')('a data folder copied while its engine lives opens at once', async () => {
  const places = hostPlaces(join(folder, 'in use'));
  const client = await connectHost(places.dataDir);
  const project = await client.request('projects.create', { name: 'Copied' });
  const copied = hostPlaces(join(folder, 'copied'));
  cpSync(places.lock, copied.lock);
  const began = performance.now();
  const other = await connectHost(copied.dataDir);
  expect(performance.now() - began).toBeLessThan(15_000);
  expect(await other.request('projects.list', undefined)).toEqual([]);
  expect(await client.request('projects.list', undefined)).toMatchObject([{ id: project.id }]);
  other.close();
  client.close();
});

test('the studio starts over a folder in the place of its lock', async () => {
  const places = hostPlaces(join(folder, 'data'));
  mkdirSync(join(places.lock, 'within'), { recursive: true });
  const client = await connectHost(places.dataDir);
  expect(await client.request('projects.list', undefined)).toEqual([]);
  client.close();
});
