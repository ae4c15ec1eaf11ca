/** Table `datasets`. */
import type { Database } from 'better-sqlite3';
import type { DataFormat, Dataset } from '../contract.ts';
import { jsonArray, type Rows } from './rows.ts';

interface Row {
  id: string;
  project_id: string;
  name: string;
  train_paths: string;
  eval_paths: string;
  format: string;
  train_rows: number;
  eval_rows: number;
  hash: string;
  created_at: number;
}
const fromRow = (row: Row): Dataset => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  trainPaths: jsonArray('train_paths', row.train_paths),
  evalPaths: jsonArray('eval_paths', row.eval_paths),
  format: row.format as DataFormat,
  trainRows: row.train_rows,
  evalRows: row.eval_rows,
  hash: row.hash,
  createdAt: row.created_at,
});

export class Datasets {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId: string): Dataset[] {
    return this.#rows.list(
      'datasets',
      this.#db.prepare<[string], Row>('SELECT * FROM datasets WHERE project_id = ? ORDER BY sequence').all(projectId),
      fromRow,
    );
  }
  get(id: string): Dataset | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM datasets WHERE id = ?').get(id);
    return this.#rows.one('datasets', row, fromRow);
  }
  insert(dataset: Dataset): void {
    this.#db
      .prepare(
        `INSERT INTO datasets (id, project_id, name, train_paths, eval_paths, format, train_rows, eval_rows, hash, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        dataset.id,
        dataset.projectId,
        dataset.name,
        JSON.stringify(dataset.trainPaths),
        JSON.stringify(dataset.evalPaths),
        dataset.format,
        dataset.trainRows,
        dataset.evalRows,
        dataset.hash,
        dataset.createdAt,
      );
  }
  remove(id: string): void {
    this.#db.prepare('DELETE FROM datasets WHERE id = ?').run(id);
  }
}
