import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { killedAt } from '../testing/killed-at.ts';
import { backUpDay } from './backups.ts';
import { moveLogUnindexed, filledStore } from '../testing/filled-store.ts';
import { openStore } from './open.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-heal-'));
  path = join(folder, 'studio.sqlite');
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const pageBytes = 4096;
/** Page numbers of a table or index, root first. */
function pagesOf(name: string): number[] {
  const db = new Database(path, { readonly: true });
  const rows = db.prepare<[string], { pageno: number }>('SELECT pageno FROM dbstat WHERE name = ? ORDER BY path').all(name);
  db.close();
  return rows.map(({ pageno }) => pageno);
}
function spoil(page: number, fill = 0xa5): void {
  const bytes = readFileSync(path);
  bytes.fill(fill, (page - 1) * pageBytes, page * pageBytes);
  writeFileSync(path, bytes);
}
async function backUp(): Promise<void> {
  const db = new Database(path, { readonly: true });
  await backUpDay(db, folder, new Date());
  db.close();
}
/** Counts what is in the store of the folder. */
function counted(): Record<string, number> {
  const store = openStore(folder);
  const runs = store.runs.list('p');
  const counts = {
    runs: runs.length,
    steps: runs.reduce((sum, { id }) => sum + store.metrics.steps(id, 0).length, 0),
    models: store.models.list('p').length,
    exports: store.exports.list('p').length,
    lines: runs.reduce((sum, { id }) => sum + store.log.list(id).length, 0),
  };
  store.close();
  return counts;
}
/** Returns what people are told after a healing, once. */
function told(): string[] {
  const store = openStore(folder);
  const notices = store.notices.take().map(({ message, hint }) => `${message} ${hint}`);
  store.close();
  const again = openStore(folder);
  expect(again.notices.take()).toEqual([]);
  again.close();
  return notices;
}
const size = { runs: 4, steps: 300 };
const everything = { runs: 4, steps: 1200, models: 1, exports: 1, lines: 4 };
const damagedFiles = () => readdirSync(join(folder, 'damaged')).map((name) => join(folder, 'damaged', name));

test('a damaged page of one table costs the rows on it, and with a backup none', async () => {
  filledStore(folder, size).close();
  const leaf = pagesOf('step_metrics').at(-2)!;
  await backUp();
  const backups = join(folder, 'backups');
  spoil(leaf);
  const damaged = readFileSync(path);
  cpSync(backups, join(folder, 'kept'), { recursive: true });
  rmSync(backups, { recursive: true });

  const { steps, ...others } = counted();
  expect(others).toEqual({ ...everything, steps: undefined });
  expect(steps).toBeLessThan(1200);
  expect(steps).toBeGreaterThan(1050);
  const notices = told();
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain(`step_metrics ${steps}`);
  expect(notices[0]).toMatch(new RegExp(`Rows lost: step_metrics ${1200 - steps!}\\.`));
  expect(readFileSync(join(damagedFiles()[0]!, 'studio.sqlite')).equals(damaged)).toBe(true);

  rmSync(path);
  rmSync(join(folder, 'damaged'), { recursive: true });
  mkdirSync(backups);
  cpSync(join(folder, 'kept'), backups, { recursive: true, preserveTimestamps: true });
  writeFileSync(path, damaged);
  expect(counted()).toEqual(everything);
  expect(told()[0]).toMatch(/Rows restored from the backup \d+-day-[^:]+: step_metrics \d+\. Nothing was lost\./);
});

test('rows written after the backup are kept when the first page is damaged', async () => {
  const store = filledStore(folder, size);
  await backUp();
  store.projects.insert({ id: 'later', name: 'Later', createdAt: 9 });
  store.close();
  spoil(1);
  expect(counted()).toEqual(everything);
  const healed = openStore(folder);
  expect(healed.projects.get('later')).not.toBeNull();
  healed.close();
});

test.each(['runs', 'step_metrics', 'models', 'log_lines_of_run', 'sqlite_autoindex_runs_1'])(
  'a damaged root page of %s is healed',
  async (name) => {
    filledStore(folder, size).close();
    const root = pagesOf(name)[0]!;
    await backUp();
    spoil(root, 0);
    expect(counted()).toEqual(everything);
    expect(told()).toHaveLength(1);
  },
);

test('without a backup what the others say of a lost project is enough to find the runs again', () => {
  filledStore(folder, size).close();
  spoil(pagesOf('projects')[0]!);
  expect(counted()).toEqual(everything);
  expect(told()[0]).toContain('There was no backup');
});

test('an index that does not agree with its table is healed at the start after it was found', () => {
  filledStore(folder, size).close();
  moveLogUnindexed(path);
  const open = openStore(folder);
  expect(open.notices.take()).toEqual([]);
  open.reportDamage('as the full check says');
  open.close();
  const healed = openStore(folder);
  expect(healed.log.list('r2')).toHaveLength(2);
  healed.close();
  expect(existsSync(`${path}.suspect`)).toBe(false);
});

test('damage that a statement meets is said in words, and healed at the next start', async () => {
  filledStore(folder, size).close();
  const leaf = pagesOf('step_metrics').at(-2)!;
  await backUp();
  const store = openStore(folder);
  spoil(leaf);
  const readAll = () => store.runs.list('p').map(({ id }) => store.metrics.steps(id, 0).length);
  expect(readAll).toThrow(expect.objectContaining({ code: 'store-damaged', hint: expect.stringContaining('next start') }));
  expect(store.notices.take()).toHaveLength(1);
  store.close();
  expect(counted()).toEqual(everything);
  expect(told()[0]).toContain('has been rebuilt');
});

test('the log of a process that was killed counts for what is saved, and is kept as it was', () => {
  const store = filledStore(folder, size);
  store.close();
  const open = openStore(folder);
  open.projects.insert({ id: 'later', name: 'Later', createdAt: 9 });
  const killed = join(folder, 'killed');
  mkdirSync(killed);
  for (const ending of ['', '-wal', '-shm']) cpSync(path + ending, join(killed, `studio.sqlite${ending}`));
  open.close();
  path = join(killed, 'studio.sqlite');
  const log = readFileSync(`${path}-wal`);
  spoil(pagesOf('models')[0]!);
  writeFileSync(`${path}-wal`, log);
  const healed = openStore(killed);
  expect(healed.projects.get('later')).not.toBeNull();
  expect(healed.runs.list('p').map(({ modelId }) => modelId)).toEqual([null, null, null, null]);
  healed.close();
  const [kept] = readdirSync(join(killed, 'damaged'));
  expect(readFileSync(join(killed, 'damaged', kept!, 'studio.sqlite-wal')).equals(log)).toBe(true);
});

test('a damaged end of the log costs the change it belongs to', () => {
  const store = filledStore(folder, size);
  store.projects.insert({ id: 'later', name: 'Later', createdAt: 9 });
  const killed = join(folder, 'killed');
  mkdirSync(killed);
  for (const ending of ['', '-wal', '-shm']) cpSync(path + ending, join(killed, `studio.sqlite${ending}`));
  store.close();
  const log = readFileSync(join(killed, 'studio.sqlite-wal'));
  log.fill(0x5a, log.length - 3000, log.length - 1000);
  writeFileSync(join(killed, 'studio.sqlite-wal'), log);
  const healed = openStore(killed);
  // SQLite drops from the first frame on whose sum does not fit: the last change alone.
  expect(healed.runs.list('p')).toHaveLength(4);
  healed.close();
});

test('a file that is no database is kept, and a new one begun', () => {
  const text = 'this is no database, whatever its name says. '.repeat(50);
  writeFileSync(path, text);
  const store = openStore(folder);
  expect(store.projects.list()).toEqual([]);
  expect(store.notices.take()[0]!.message).toContain('Rows saved by table: nothing');
  store.close();
  expect(readFileSync(join(damagedFiles()[0]!, 'studio.sqlite'), 'utf8')).toBe(text);
});

test.each([0, 100, 4096, 50_000])(
  'a file of which only the first %i bytes are left is made whole from the backup',
  async (length) => {
    filledStore(folder, size).close();
    await backUp();
    writeFileSync(path, readFileSync(path).subarray(0, length));
    expect(counted()).toEqual(everything);
    expect(told()[0]).toMatch(/Rows lost: .*everything added after the backup/);
  },
);

test('a healing that is ended anywhere is finished at the next start', async () => {
  const original = join(folder, 'original');
  mkdirSync(original);
  filledStore(original, { runs: 2, steps: 2 }).close();
  path = join(original, 'studio.sqlite');
  const db = new Database(path, { readonly: true });
  await backUpDay(db, original, new Date());
  db.close();
  spoil(pagesOf('log_lines_of_run')[0]!, 0);
  const damaged = readFileSync(path);
  // The whole of it takes a while.
  const stride = process.env['LOWRANK_TEST_FULL'] === '1' ? 1 : 4;
  let at = 1;
  for (let finished = false; !finished; at += stride) {
    const place = join(folder, `killed-${at}`);
    cpSync(original, place, { recursive: true, preserveTimestamps: true });
    ({ finished } = await killedAt(at, async () => openStore(place).close()));
    const store = openStore(place);
    expect(store.runs.list('p'), `killed at ${at}`).toHaveLength(2);
    expect(store.notices.take().length, `killed at ${at}`).toBeGreaterThan(0);
    store.close();
    const kept = readdirSync(join(place, 'damaged'));
    expect(kept).toHaveLength(1);
    expect(readFileSync(join(place, 'damaged', kept[0]!, 'studio.sqlite')).equals(damaged), `killed at ${at}`).toBe(true);
    expect(existsSync(join(place, 'healing'))).toBe(false);
    rmSync(place, { recursive: true });
  }
  expect(at).toBeGreaterThan(8);
});
