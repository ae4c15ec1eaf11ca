/** Finds paths in the database, whatever table they are stored in. */
import type { Database } from 'better-sqlite3';

const columns = [
  ['models', 'path'],
  ['runs', 'model_path'],
  ['runs', 'out'],
  ['checkpoints', 'path'],
  ['adapters', 'path'],
  ['adapters', 'model_path'],
  ['exports', 'path'],
] as const;

// A list that is not JSON affects that row alone, as everywhere in the store.
const known = [
  ...columns.map(([table, column]) => `SELECT 1 FROM ${table} WHERE ${column} = asked.value`),
  `SELECT 1 FROM dataset_versions, json_each(CASE WHEN json_valid(files) THEN files ELSE '[]' END) AS file
    WHERE json_type(file.value) = 'object' AND json_extract(file.value, '$.path') = asked.value`,
];

export class KnownPaths {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  /** Returns those of `paths` that are stored in the database with the same spelling. */
  among(paths: readonly string[]): string[] {
    const sql = `SELECT DISTINCT asked.value FROM json_each(?) AS asked WHERE ${known.map((one) => `EXISTS (${one})`).join(' OR ')}`;
    return this.#db.prepare(sql).pluck().all(JSON.stringify(paths)) as string[];
  }
}
