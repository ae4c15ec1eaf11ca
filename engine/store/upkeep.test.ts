import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { backUpDay, soundBackups } from './backups.ts';
import { moveLogUnindexed, filledStore } from '../testing/filled-store.ts';
import { openStore } from './open.ts';
import { Upkeep } from './upkeep.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-upkeep-'));
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});
const backups = () => readdirSync(join(folder, 'backups')).sort();

test('the day’s backup is made beside the work, holds what is stored, and is made once', async () => {
  const store = filledStore(folder, { runs: 2, steps: 50 });
  const upkeep = new Upkeep(folder, store);
  const done = upkeep.look();
  expect(upkeep.busy).toBe(true);
  // Writing goes on meanwhile.
  store.projects.insert({ id: 'q', name: 'Q', createdAt: 1 });
  await done;
  expect(upkeep.busy).toBe(false);
  expect(backups()).toEqual([`00001-day-${new Date().toISOString().slice(0, 10)}.sqlite`]);
  const backup = join(folder, 'backups', backups()[0]!);
  if (process.platform !== 'win32') expect(statSync(backup).mode & 0o077).toBe(0);
  const copy = new Database(backup, { readonly: true });
  expect(copy.prepare('SELECT count(*) AS count FROM step_metrics').get()).toEqual({ count: 100 });
  copy.close();
  const written = statSync(backup).mtimeMs;
  await upkeep.look();
  expect(statSync(backup).mtimeMs).toBe(written);
  upkeep.stop();
  expect(store.notices.take()).toEqual([]);
  store.close();
  expect(existsSync(join(folder, 'studio.sqlite-wal'))).toBe(false);
});

test('seven days are kept, and none goes before the new one is sound', async () => {
  filledStore(folder, { runs: 1, steps: 1 }).close();
  const db = new Database(join(folder, 'studio.sqlite'), { readonly: true });
  for (let day = 1; day <= 10; day++) await backUpDay(db, folder, new Date(Date.UTC(2026, 0, day)));
  db.close();
  const names = [4, 5, 6, 7, 8, 9, 10].map(
    (day) => `${String(day).padStart(5, '0')}-day-2026-01-${String(day).padStart(2, '0')}.sqlite`,
  );
  expect(backups()).toEqual(names);
});

test('a clock that jumps costs no backup: what was copied last counts as the newest, whatever its day', async () => {
  filledStore(folder, { runs: 1, steps: 1 }).close();
  mkdirSync(join(folder, 'backups'));
  // From before copies were numbered, by a clock that went years ahead.
  for (let day = 1; day <= 7; day++)
    copyFileSync(join(folder, 'studio.sqlite'), join(folder, `backups/day-2038-01-0${day}.sqlite`));
  const db = new Database(join(folder, 'studio.sqlite'), { readonly: true });
  for (const day of ['2026-05-01', '1970-01-01', '2026-05-02', '2026-05-01']) await backUpDay(db, folder, new Date(day));
  db.close();
  expect(backups().filter((name) => !name.includes('2038'))).toEqual([
    '00002-day-1970-01-01.sqlite',
    '00003-day-2026-05-02.sqlite',
    '00004-day-2026-05-01.sqlite',
  ]);
  expect(backups().filter((name) => name.includes('2038'))).toEqual([4, 5, 6, 7].map((day) => `day-2038-01-0${day}.sqlite`));
  expect(soundBackups(folder).next().value).toBe(join(folder, 'backups', '00004-day-2026-05-01.sqlite'));
});

test('damage that only the full check finds is told, sound backups stay, and the next start heals', async () => {
  filledStore(folder, { runs: 2, steps: 50 }).close();
  const db = new Database(join(folder, 'studio.sqlite'), { readonly: true });
  await backUpDay(db, folder, new Date(Date.UTC(2026, 0, 1)));
  db.close();
  moveLogUnindexed(join(folder, 'studio.sqlite'));
  const open = openStore(folder);
  const upkeep = new Upkeep(folder, open);
  await upkeep.look();
  upkeep.stop();
  const notices = open.notices.take();
  expect(notices).toHaveLength(1);
  expect(notices[0]).toMatchObject({ code: 'store-damaged', hint: expect.stringContaining('next start') });
  expect(notices[0]!.message).toContain('missing from index');
  expect(backups()).toEqual(['00001-day-2026-01-01.sqlite']);
  open.close();
  const healed = openStore(folder);
  expect(healed.notices.take()[0]!.message).toContain('Nothing was lost');
  expect(healed.log.list('r2')).toHaveLength(2);
  healed.close();
});

test.skipIf(process.platform === 'win32')('what is new in a data folder is its owner’s alone', () => {
  chmodSync(folder, 0o755);
  const store = filledStore(folder, { runs: 1, steps: 1 });
  for (const name of ['studio.sqlite', 'studio.sqlite-wal', 'studio.sqlite-shm'])
    expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600);
  store.close();
});
