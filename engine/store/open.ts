/** Opens the database of a data folder: pragmas, migrations with a copy kept before, and one object per table. */
import { copyFileSync, existsSync, fsyncSync, openSync, closeSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Problem } from '../problem.ts';
import { Adapters } from './adapters.ts';
import { Checkpoints } from './checkpoints.ts';
import { Datasets } from './datasets.ts';
import { Exports } from './exports.ts';
import { Log } from './log.ts';
import { MemoryMeasures } from './memory.ts';
import { Metrics } from './metrics.ts';
import { initial } from './migrations/001-initial.ts';
import { paused } from './migrations/002-paused.ts';
import { memory } from './migrations/003-memory.ts';
import { exportedFiles } from './migrations/004-exported-files.ts';
import { Models } from './models.ts';
import { Projects } from './projects.ts';
import { Runs } from './runs.ts';
import { SampleStates } from './sample-state.ts';
import { Samples } from './samples.ts';

/** In order; `user_version` counts how many a file has had. */
const migrations: readonly string[] = [initial, paused, memory, exportedFiles];

export class Store {
  readonly projects: Projects;
  readonly models: Models;
  readonly datasets: Datasets;
  readonly runs: Runs;
  readonly metrics: Metrics;
  readonly memory: MemoryMeasures;
  readonly samples: Samples;
  readonly checkpoints: Checkpoints;
  readonly log: Log;
  readonly adapters: Adapters;
  readonly exports: Exports;
  readonly sampleState: SampleStates;
  readonly #db: Database.Database;

  constructor(db: Database.Database) {
    this.#db = db;
    this.projects = new Projects(db);
    this.models = new Models(db);
    this.datasets = new Datasets(db);
    this.runs = new Runs(db);
    this.metrics = new Metrics(db);
    this.memory = new MemoryMeasures(db);
    this.samples = new Samples(db);
    this.checkpoints = new Checkpoints(db);
    this.log = new Log(db);
    this.adapters = new Adapters(db);
    this.exports = new Exports(db);
    this.sampleState = new SampleStates(db);
  }

  /** Everything `work` writes appears at once, or not at all. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work)();
  }

  close(): void {
    this.#db.close();
  }
}

/** Opens (or makes) `studio.sqlite` in `dataDir`. */
export function openStore(dataDir: string): Store {
  const path = join(dataDir, 'studio.sqlite');
  const existed = existsSync(path);
  let db: Database.Database;
  try {
    if (existed) refuseNewer(path);
    db = new Database(path);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    migrate(db, path);
    return new Store(db);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const code = (error as { code?: string }).code ?? '';
    if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT'))
      throw new Problem(
        'store-damaged',
        `The database ${path} is damaged: ${(error as Error).message}.`,
        'Move it away to start afresh, or put a copy that ends in .bak in its place; models, adapters and exports are files beside it.',
        { cause: error },
      );
    if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY'))
      throw new Problem(
        'folder-unwritable',
        `The database ${path} cannot be opened for writing: ${(error as Error).message}.`,
        'Choose a data folder you may write.',
        { cause: error },
      );
    throw error;
  }
}

/** Looks without writing a byte: a file of a later version stays exactly as it is. */
function refuseNewer(path: string): void {
  const db = new Database(path, { readonly: true, fileMustExist: true });
  try {
    const version = db.pragma('user_version', { simple: true }) as number;
    if (version > migrations.length)
      throw new Problem(
        'store-newer',
        `The database ${path} was written by a newer Lowrank Studio (version ${version} of its tables, this one knows ${migrations.length}).`,
        'Update Lowrank Studio, or choose another data folder.',
      );
  } finally {
    db.close();
  }
}

function migrate(db: Database.Database, path: string): void {
  const from = db.pragma('user_version', { simple: true }) as number;
  if (from === migrations.length) return;
  if (from > 0) keepCopy(db, path, from);
  for (let version = from; version < migrations.length; version++)
    db.transaction(() => {
      db.exec(migrations[version]!);
      db.pragma(`user_version = ${version + 1}`);
    })();
}

function keepCopy(db: Database.Database, path: string, version: number): void {
  db.pragma('wal_checkpoint(TRUNCATE)');
  const copy = `${path}.version-${version}.bak`;
  copyFileSync(path, `${copy}.part`);
  const file = openSync(`${copy}.part`, 'r+');
  fsyncSync(file);
  closeSync(file);
  renameSync(`${copy}.part`, copy);
}
