/**
 * Keeps copies of the database in the folder `backups`: one of each day, and one from before each migration. A copy gets its
 * name when it is on the disk and has passed SQLite's full check, and only then are older ones removed. Names begin with a
 * number that counts up: clocks jump, so the dates in the names alone could make the newest copy look like the oldest.
 */
import { chmodSync, copyFileSync, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { makeFolder, syncFile, syncFolder } from '../formats/files.ts';
import { checkWhole, Damage } from './check.ts';
import { migrations, versionOf } from './migrate.ts';

const daysKept = 7;
/** Says how many copies from before one and the same migration are kept. */
const keptPerMigration = 3;

const dayName = /^(\d+-)?day-\d{4}-\d{2}-\d{2}\.sqlite$/;

export function backupFolder(dataDir: string): string {
  return join(dataDir, 'backups');
}

/** Returns whether there is a copy of that day that has the current tables and is newer than `since`, in milliseconds. */
export function isBackedUp(dataDir: string, day: Date, since: number): boolean {
  const name = backupNames(dataDir).findLast((one) => one.endsWith(dayEnding(day)));
  if (name === undefined) return false;
  const path = join(backupFolder(dataDir), name);
  if ((statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1) <= since) return false;
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true });
    try {
      return versionOf(db) === migrations.length;
    } finally {
      db.close();
    }
  } catch {
    return false;
  }
}

const dayEnding = (day: Date): string => `day-${day.toISOString().slice(0, 10)}.sqlite`;

function nextPath(dataDir: string, ending: string): string {
  const next = 1 + Math.max(0, ...backupNames(dataDir).map(numberOf));
  return join(backupFolder(dataDir), `${String(next).padStart(5, '0')}-${ending}`);
}

/**
 * Copies a database that nobody else writes to, before its tables are migrated from `version` to newer ones. Throws `Damage`.
 */
export function backUpBeforeMigration(db: Database.Database, dataDir: string, version: number): void {
  db.pragma('wal_checkpoint(TRUNCATE)');
  const kind = new RegExp(`^(\\d+-)?version-${version}-`);
  makeFolder(backupFolder(dataDir), 0o700);
  const path = nextPath(dataDir, `version-${version}-${timeName(new Date())}.sqlite`);
  copyFileSync(db.name, partOf(path));
  publish(path);
  prune(dataDir, (name) => kind.test(name), keptPerMigration);
}

/** Makes the copy of a day over a connection that may be one of several. Throws `Damage`. */
export async function backUpDay(db: Database.Database, dataDir: string, day: Date): Promise<void> {
  makeFolder(backupFolder(dataDir), 0o700);
  const path = nextPath(dataDir, dayEnding(day));
  rmSync(partOf(path), { force: true });
  // The copy is made in one step, because a change by another process in between would restart it.
  await db.backup(partOf(path), { progress: () => wholeDatabase });
  publish(path);
  prune(dataDir, (name) => name.endsWith(dayEnding(day)), 1);
  prune(dataDir, (name) => dayName.test(name), daysKept);
}
const wholeDatabase = 0x7fffffff;

export function hasBackups(dataDir: string): boolean {
  return backupNames(dataDir).length > 0;
}

/** Lists the names of copies, oldest first. Copies from before they were numbered come first, by their dates. */
function backupNames(dataDir: string): string[] {
  if (!existsSync(backupFolder(dataDir))) return [];
  return readdirSync(backupFolder(dataDir))
    .filter((name) => name.endsWith('.sqlite'))
    .sort((a, b) => numberOf(a) - numberOf(b) || (dateOf(a) < dateOf(b) ? -1 : 1));
}

const numberOf = (name: string): number => Number(/^\d+(?=-)/.exec(name)?.[0] ?? 0);

/** Yields the paths of copies that pass the full check, newest first. */
export function* soundBackups(dataDir: string): Generator<string> {
  for (const name of backupNames(dataDir).reverse()) {
    const path = join(backupFolder(dataDir), name);
    if (isSound(path)) yield path;
  }
}

function isSound(path: string): boolean {
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true });
    try {
      return checkWhole(db) === null;
    } finally {
      db.close();
    }
  } catch {
    return false;
  }
}

/** Formats a time as part of a name, so that names sort by time. */
export function timeName(time: Date): string {
  return time.toISOString().slice(0, 19).replaceAll(':', '-');
}

const dateOf = (name: string): string => /\d{4}-\d{2}-\d{2}.*/.exec(name)?.[0] ?? '';
const partOf = (path: string): string => `${path}.part`;

/** Gives a copy its name once it is sound and on the disk. It is then a single file, without a log beside it. */
function publish(path: string): void {
  const part = partOf(path);
  try {
    if (process.platform !== 'win32') chmodSync(part, 0o600);
    const db = new Database(part);
    try {
      db.pragma('journal_mode = DELETE');
      const damage = checkWhole(db);
      if (damage !== null) throw new Damage(damage);
    } finally {
      db.close();
    }
    syncFile(part);
    renameSync(part, path);
    syncFolder(dirname(path));
  } finally {
    rmSync(part, { force: true });
  }
}

function prune(dataDir: string, belongs: (name: string) => boolean, keep: number): void {
  const names = backupNames(dataDir).filter(belongs);
  for (const name of names.slice(0, -keep)) rmSync(join(backupFolder(dataDir), name), { force: true });
}
