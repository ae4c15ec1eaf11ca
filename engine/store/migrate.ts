/** Brings the tables of a database up to date, one migration after the other. */
import type { Database } from 'better-sqlite3';
import { initial } from './migrations/001-initial.ts';
import { paused } from './migrations/002-paused.ts';
import { memory } from './migrations/003-memory.ts';
import { exportedFiles } from './migrations/004-exported-files.ts';
import { runTotals } from './migrations/005-run-totals.ts';
import { queue } from './migrations/006-queue.ts';
import { verdicts } from './migrations/007-verdicts.ts';
import { measures } from './migrations/008-measures.ts';
import { datasetVersions } from './migrations/009-dataset-versions.ts';
import { stepMeasures } from './migrations/010-step-measures.ts';
import { datasetChanges } from './migrations/011-dataset-changes.ts';
import { adapterConfigs } from './migrations/012-adapter-configs.ts';
import { mixes } from './migrations/013-mixes.ts';
import { evaluations } from './migrations/014-evaluations.ts';

/** Lists the migrations in order. `user_version` counts how many a file has had. */
export const migrations: readonly string[] = [
  initial,
  paused,
  memory,
  exportedFiles,
  runTotals,
  queue,
  verdicts,
  measures,
  datasetVersions,
  stepMeasures,
  datasetChanges,
  adapterConfigs,
  mixes,
  evaluations,
];

/** Returns how many migrations a database has had; 0 for an empty one. */
export function versionOf(db: Database): number {
  return db.pragma('user_version', { simple: true }) as number;
}

/** Migrates a database to a version of its tables. Each migration is applied whole or not at all. */
export function migrate(db: Database, to = migrations.length): void {
  for (let version = versionOf(db); version < to; version++)
    db.transaction(() => {
      db.exec(migrations[version]!);
      db.pragma(`user_version = ${version + 1}`);
    })();
}
