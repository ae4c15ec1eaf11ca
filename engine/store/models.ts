/** Table `models`. */
import type { Database } from 'better-sqlite3';
import type { Model, ModelInfo } from '../contract.ts';
import { jsonObject, type Rows } from './rows.ts';

interface Row {
  id: string;
  project_id: string;
  path: string;
  embedded: number;
  info: string;
  created_at: number;
}
const fromRow = (row: Row): Model => ({
  // What an earlier studio has stored accepted nothing.
  ...{ acceptFields: [], ...jsonObject<Omit<ModelInfo, 'acceptFields'> & Partial<ModelInfo>>('info', row.info) },
  id: row.id,
  projectId: row.project_id,
  path: row.path,
  embedded: row.embedded === 1,
  createdAt: row.created_at,
});

export class Models {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId: string): Model[] {
    return this.#rows.list(
      'models',
      this.#db.prepare<[string], Row>('SELECT * FROM models WHERE project_id = ? ORDER BY sequence').all(projectId),
      fromRow,
    );
  }
  get(id: string): Model | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM models WHERE id = ?').get(id);
    return this.#rows.one('models', row, fromRow);
  }
  /** Adds it, or renews what is known of the same path in the same project; answers the stored model. */
  put(model: Model): Model {
    const { id, projectId, path, embedded, createdAt, ...info } = model;
    const row = this.#db
      .prepare<[string, string, string, number, string, number], Row>(
        `INSERT INTO models (id, project_id, path, embedded, info, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (project_id, path) DO UPDATE SET info = excluded.info RETURNING *`,
      )
      .get(id, projectId, path, embedded ? 1 : 0, JSON.stringify(info), createdAt)!;
    return fromRow(row);
  }
  remove(id: string): void {
    this.#db.prepare('DELETE FROM models WHERE id = ?').run(id);
  }
}
