/**
 * Heals a damaged database: rows that can be read are copied to a new database, rows that cannot are taken from a backup, and
 * the damaged files are kept in the folder `damaged` under the date. The work is done in the folder `healing`; a healing that
 * was interrupted is finished at the next start.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { makeFolder, syncFile, syncFolder, writeFileAtomic } from '../formats/files.ts';
import type { ProblemValue } from '../problem.ts';
import { backupFolder, soundBackups, timeName } from './backups.ts';
import { checkWhole } from './check.ts';
import { versionOf } from './migrate.ts';
import type { Notices } from './notices.ts';
import { salvage, type Saved } from './salvage.ts';

const fileName = 'studio.sqlite';
/**
 * Lists the endings of a database's files: the file itself, SQLite's log of changes that are not in the file yet, and the index
 * of that log.
 */
const endings = ['', '-wal', '-shm'];

/** Says what is reported after a repair, and where the damaged files are kept. */
interface Outcome {
  readonly folder: string;
  readonly problem: ProblemValue;
}

/**
 * Replaces the damaged database of a data folder, which must not be open anywhere, and keeps the damaged files. Throws when the
 * new database is damaged too; the old one is then still in place.
 */
export function heal(dataDir: string, damage: string, notices: Notices): void {
  const work = join(dataDir, 'healing');
  rmSync(work, { recursive: true, force: true });
  makeFolder(work, 0o700);
  try {
    const fresh = join(work, 'new.sqlite');
    const backup = usableBackup(dataDir, work);
    const damaged = readableCopy(dataDir, work, backup);
    let saved: Saved[];
    try {
      saved = salvage(damaged, backup?.db ?? null, fresh);
    } finally {
      damaged?.close();
      backup?.db.close();
    }
    const check = new Database(fresh);
    try {
      const wrong = checkWhole(check);
      if (wrong !== null) throw new Error(`the new database is damaged too: ${wrong}`);
    } finally {
      check.close();
    }
    syncFile(fresh);
    const folder = freeFolder(join(dataDir, 'damaged'));
    const outcome: Outcome = { folder, problem: describe(dataDir, damage, saved, backup?.name ?? null, folder) };
    writeFileAtomic(join(work, 'saved.json'), JSON.stringify({ ...outcome, damage, saved }, null, 2));
    renameSync(fresh, join(work, 'ready.sqlite'));
    syncFolder(work);
  } catch (error) {
    // The damaged files are still in their place.
    rmSync(work, { recursive: true, force: true });
    throw error;
  }
  finishHealing(dataDir, notices);
}

/**
 * Puts a new database that is ready into its place. Does nothing when no healing was begun; a new database that is not ready is
 * removed.
 */
export function finishHealing(dataDir: string, notices: Notices): void {
  const work = join(dataDir, 'healing');
  const ready = join(work, 'ready.sqlite');
  if (!existsSync(work)) return;
  const isMoved = existsSync(join(work, fileName));
  if (!existsSync(ready) && !isMoved) {
    rmSync(work, { recursive: true, force: true });
    return;
  }
  if (existsSync(ready)) {
    for (const name of ['reading.sqlite', 'backup.sqlite'])
      for (const ending of endings) rmSync(join(work, name + ending), { force: true });
    // As long as the new database is here, the one in the data folder is damaged.
    for (const ending of [...endings].reverse()) {
      const from = join(dataDir, fileName + ending);
      if (existsSync(from)) renameSync(from, join(work, fileName + ending));
    }
    syncFolder(work);
    renameSync(ready, join(dataDir, fileName));
    syncFolder(dataDir);
  }
  const { folder, problem } = JSON.parse(readFileSync(join(work, 'saved.json'), 'utf8')) as Outcome;
  notices.add(problem);
  makeFolder(join(folder, '..'), 0o700);
  renameSync(work, folder);
  syncFolder(dataDir);
}

/**
 * Returns when the database was last healed, in milliseconds, and 0 if it never was. Its pages are in other places since then.
 */
export function lastHealed(dataDir: string): number {
  return statSync(join(dataDir, 'damaged'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

interface Backup {
  readonly name: string;
  readonly db: Database.Database;
  /** Says whether its pages are in the same places as those of the damaged database. */
  readonly samePages: boolean;
}

/** Opens a copy of the newest sound backup. */
function usableBackup(dataDir: string, work: string): Backup | null {
  for (const path of soundBackups(dataDir)) {
    const copy = join(work, 'backup.sqlite');
    copyFileSync(path, copy);
    const db = new Database(copy);
    const samePages = statSync(path).mtimeMs > lastHealed(dataDir);
    return { name: path.slice(backupFolder(dataDir).length + 1), db, samePages };
  }
  return null;
}

/** Opens a copy of the damaged database for reading; returns null when that is not possible. */
function readableCopy(dataDir: string, work: string, backup: Backup | null): Database.Database | null {
  const copy = join(work, 'reading.sqlite');
  const open = (): Database.Database | null => {
    // The index of the log is rebuilt.
    for (const ending of ['', '-wal']) {
      const from = join(dataDir, fileName + ending);
      if (existsSync(from)) copyFileSync(from, copy + ending);
    }
    return tryOpen(copy);
  };
  const db = open();
  if (db !== null || backup?.samePages !== true) return db;
  // Its list of tables is damaged, so that of a backup shows where the tables begin.
  const version = versionOf(backup.db);
  open()?.close();
  takeSchemaPages(backup.db.name, copy);
  const patched = tryOpen(copy);
  if (patched !== null && versionOf(patched) === version) return patched;
  patched?.close();
  return null;
}

function tryOpen(path: string): Database.Database | null {
  let db: Database.Database | null = null;
  try {
    db = new Database(path);
    // SQLite then accepts a file shorter than its header says, and tables that it cannot parse.
    db.unsafeMode(true);
    db.pragma('writable_schema = ON');
    db.prepare('SELECT sql FROM sqlite_schema').all();
    if (versionOf(db) > 0) return db;
  } catch {
    // Its state cannot be determined.
  }
  db?.close();
  return null;
}

/**
 * Replaces the pages that list the tables by those of a backup whose tables are in the same places. The format is described at
 * sqlite.org/fileformat2.
 */
function takeSchemaPages(backup: string, damaged: string): void {
  const source = openSync(backup, 'r');
  const target = openSync(damaged, 'r+');
  try {
    const start = Buffer.alloc(100);
    readSync(source, start, 0, start.length, 0);
    const stated = start.readUInt16BE(16);
    const pageBytes = stated === 1 ? 65_536 : stated;
    const readPage = (number: number): Buffer => {
      const page = Buffer.alloc(pageBytes);
      readSync(source, page, 0, pageBytes, (number - 1) * pageBytes);
      return page;
    };
    const root = readPage(1);
    const numbers: number[] = [];
    const interior = 5;
    if (root[100] === interior) {
      numbers.push(root.readUInt32BE(108));
      for (let cell = 0; cell < root.readUInt16BE(103); cell++)
        numbers.push(root.readUInt32BE(root.readUInt16BE(112 + 2 * cell)));
    }
    for (const number of numbers) writeSync(target, readPage(number), 0, pageBytes, (number - 1) * pageBytes);
    // The copy is as long as the damaged file, without a list of free pages, and with a log beside it.
    root.writeUInt32BE(Math.floor(statSync(damaged).size / pageBytes), 28);
    root.fill(0, 32, 40);
    root.fill(2, 18, 20);
    writeSync(target, root, 0, pageBytes, 0);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

function freeFolder(parent: string): string {
  const name = join(parent, timeName(new Date()));
  for (let number = 1; ; number++) {
    const path = number === 1 ? name : `${name}-${number}`;
    if (!existsSync(path)) return path;
  }
}

function describe(
  dataDir: string,
  damage: string,
  saved: readonly Saved[],
  backup: string | null,
  folder: string,
): ProblemValue {
  const counts = (of: (table: Saved) => number): string =>
    saved.flatMap((table) => (of(table) > 0 ? [`${table.table} ${of(table)}`] : [])).join(', ') || 'nothing';
  const uncounted = backup === null ? 'an unknown number' : 'everything added after the backup';
  const lost = saved.flatMap(({ table, lost }) => (lost === 0 ? [] : [`${table} ${lost ?? uncounted}`]));
  const sentences = [
    `The database ${join(dataDir, fileName)} was damaged (${damage}) and has been rebuilt from everything that could be read.`,
    `Rows saved by table: ${counts(({ read }) => read)}.`,
    backup === null
      ? 'There was no backup to restore more rows from.'
      : `Rows restored from the backup ${backup}: ${counts(({ fromBackup }) => fromBackup)}.`,
    lost.length === 0 ? 'Nothing was lost.' : `Rows lost: ${lost.join(', ')}.`,
  ];
  return {
    code: 'store-damaged',
    message: sentences.join(' '),
    hint: `The damaged files are kept in ${folder}. Models, adapters and exports are separate files and were not affected. Check the disk.`,
  };
}
