/**
 * Opens the database of a data folder: checks whether it is sound, heals it if not, migrates its tables after making a copy,
 * and provides one object per table.
 */
import { closeSync, existsSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Problem } from '../problem.ts';
import { Adapters } from './adapters.ts';
import { backUpBeforeMigration, hasBackups } from './backups.ts';
import { checkQuickly, checkWhole, Damage, isDamage } from './check.ts';
import { Checkpoints } from './checkpoints.ts';
import { Datasets } from './datasets.ts';
import { Evaluations } from './evaluations.ts';
import { Exports } from './exports.ts';
import { finishHealing, heal } from './heal.ts';
import { KnownPaths } from './known-paths.ts';
import { Log } from './log.ts';
import { MemoryMeasures } from './memory.ts';
import { Metrics } from './metrics.ts';
import { migrate, migrations, versionOf } from './migrate.ts';
import { Models } from './models.ts';
import { Notices } from './notices.ts';
import { Projects } from './projects.ts';
import { Queue } from './queue.ts';
import { Rows } from './rows.ts';
import { Runs } from './runs.ts';
import { StoredSampleProject } from './sample-project.ts';
import { Samples } from './samples.ts';

/**
 * Gives the largest file, in bytes, that is checked at every opening; a check takes half a second for 60 MB. A larger file is
 * checked only when it was not closed properly.
 */
const alwaysCheckedBytes = 8_000_000;

export class Store {
  readonly projects: Projects;
  readonly models: Models;
  readonly datasets: Datasets;
  readonly runs: Runs;
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly memory: MemoryMeasures;
  readonly samples: Samples;
  readonly checkpoints: Checkpoints;
  readonly log: Log;
  readonly adapters: Adapters;
  readonly exports: Exports;
  readonly evaluations: Evaluations;
  readonly sampleProject: StoredSampleProject;
  readonly knownPaths: KnownPaths;
  /** Says what people should be told of the database. */
  readonly notices: Notices;
  readonly #db: Database.Database;

  constructor(db: Database.Database, notices: Notices) {
    this.#db = db;
    this.notices = notices;
    watch(db, (error) => this.reportDamage(error.message));
    const rows = new Rows((problem) => notices.add(problem));
    this.projects = new Projects(db);
    this.models = new Models(db, rows);
    this.datasets = new Datasets(db, rows);
    this.runs = new Runs(db, rows);
    this.queue = new Queue(db, rows);
    this.metrics = new Metrics(db);
    this.memory = new MemoryMeasures(db, rows);
    this.samples = new Samples(db, rows);
    this.checkpoints = new Checkpoints(db);
    this.log = new Log(db);
    this.adapters = new Adapters(db, rows);
    this.exports = new Exports(db, rows);
    this.evaluations = new Evaluations(db, rows);
    this.sampleProject = new StoredSampleProject(db, rows);
    this.knownPaths = new KnownPaths(db);
  }

  /** Runs `work` in a transaction: everything it writes becomes visible at once, or nothing does. */
  transaction<T>(work: () => T): T {
    try {
      return this.#db.transaction(work)();
    } catch (error) {
      throw isDamage(error) ? this.reportDamage((error as Error).message) : error;
    }
  }

  /**
   * Runs `work` in a transaction that need not outlast a power loss, because what it records does not either. It is flushed to
   * the disk together with the next flushed transaction, so never after a later one. If only the process is killed, it is as
   * safe as any other.
   */
  unflushed<T>(work: () => T): T {
    this.#db.pragma('synchronous = NORMAL');
    try {
      return this.transaction(work);
    } finally {
      this.#db.pragma('synchronous = FULL');
    }
  }

  /** Records that the database is damaged. People are told, and the next opening checks it fully and heals it. */
  reportDamage(damage: string): Problem {
    try {
      writeFileSync(suspicion(this.#db.name), damage, { mode: 0o600 });
    } catch (error) {
      console.error(error);
    }
    const problem = new Problem(
      'store-damaged',
      `The database ${this.#db.name} is damaged: ${damage}.`,
      'Pause the runs or let them finish, then close all windows and commands. At its next start the studio recovers what can be read and restores the rest from a backup.',
    );
    this.notices.add(problem.toValue());
    return problem;
  }

  close(): void {
    this.#db.close();
  }
}

/** Lets statements that meet damage throw what `report` returns. */
function watch(db: Database.Database, report: (error: Error) => Problem): void {
  const guard =
    <Args extends unknown[], T>(work: (...args: Args) => T) =>
    (...args: Args): T => {
      try {
        return work(...args);
      } catch (error) {
        throw isDamage(error) ? report(error as Error) : error;
      }
    };
  const prepare = db.prepare.bind(db) as (sql: string) => Database.Statement;
  db.prepare = guard((sql: string) => {
    const statement = prepare(sql);
    statement.run = guard(statement.run.bind(statement));
    statement.get = guard(statement.get.bind(statement));
    statement.all = guard(statement.all.bind(statement));
    return statement;
  }) as typeof db.prepare;
}

/** Returns the path of the file beside the database that says what was found wrong with it. */
const suspicion = (path: string): string => `${path}.suspect`;

/** Gives the longest path of a data folder, in bytes: SQLite's limit on Unix, less the names that backups and healing add. */
const longestDataDir = 512 - 100;

/**
 * Opens or makes `studio.sqlite` in `dataDir`. A damaged database is healed, and the notices say what was saved and what was
 * lost.
 */
export function openStore(dataDir: string): Store {
  const path = join(dataDir, 'studio.sqlite');
  if (Buffer.byteLength(dataDir) > longestDataDir)
    throw new Problem(
      'folder-unwritable',
      `The path of the data folder ${dataDir} is ${Buffer.byteLength(dataDir)} bytes long. It can be at most ${longestDataDir} bytes long, because of the database.`,
      'Choose a data folder with a shorter path with --data-dir or LOWRANK_HOME. Models, data and exports can stay where they are.',
    );
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false)
    throw new Problem('folder-unwritable', `${path} is not a file.`, 'Move it away, because the database belongs there.');
  try {
    const notices = new Notices(dataDir);
    finishHealing(dataDir, notices);
    let db: Database.Database;
    try {
      db = openSound(path, dataDir);
    } catch (error) {
      if (!isDamage(error)) throw error;
      heal(dataDir, (error as Error).message, notices);
      db = openSound(path, dataDir);
    }
    rmSync(suspicion(path), { force: true });
    return new Store(db, notices);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const code = (error as { code?: string }).code ?? '';
    if (isDamage(error))
      throw new Problem(
        'store-damaged',
        `The database ${path} is damaged and could not be repaired: ${(error as Error).message}.`,
        'Move it away to start with a new one, or replace it with a copy from the folder "backups". Models, adapters and exports are separate files.',
        { cause: error },
      );
    if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY'))
      throw new Problem(
        'folder-unwritable',
        `The database ${path} cannot be opened for writing: ${(error as Error).message}.`,
        'Choose a writable data folder.',
        { cause: error },
      );
    throw error;
  }
}

/**
 * Opens a database after checking it, and migrates its tables. Throws `Damage`, or the error that SQLite throws when it meets
 * damage.
 */
function openSound(path: string, dataDir: string): Database.Database {
  if (existsSync(path)) examine(path, dataDir);
  // SQLite gives its log the permissions of the file.
  else closeSync(openSync(path, 'a', 0o600));
  // No other process should use the database. If one holds it for longer, that is reported, while all clients are still served.
  const db = new Database(path, { timeout: 1000 });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    const version = versionOf(db);
    if (version > 0 && version < migrations.length) backUpBeforeMigration(db, dataDir, version);
    migrate(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * Checks a database without writing a byte. A file of a later version stays exactly as it is, and so does a damaged one with
 * its log.
 */
function examine(path: string, dataDir: string): void {
  // SQLite removes its log when the last connection is closed, so a log that is left shows an abrupt end.
  const leftInMidst = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  const db = new Database(path, { readonly: true, fileMustExist: true });
  try {
    const version = versionOf(db);
    if (version > migrations.length)
      throw new Problem(
        'store-newer',
        `The database ${path} was written by a newer Lowrank Studio (its tables have version ${version}, and this studio knows versions up to ${migrations.length}).`,
        'Update Lowrank Studio, or choose another data folder.',
      );
    if (version === 0 && hasBackups(dataDir)) throw new Damage('it is empty, but backups exist');
    let damage: string | null = null;
    if (existsSync(suspicion(path))) damage = checkWhole(db);
    else if (leftInMidst || statSync(path).size <= alwaysCheckedBytes) damage = checkQuickly(db);
    if (damage !== null) throw new Damage(damage);
  } finally {
    db.close();
  }
}
