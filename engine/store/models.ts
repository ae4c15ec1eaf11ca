/** Stores models in the table `models`. */
import type { Database } from 'better-sqlite3';
import type { LinearInfo, Model, ModelInfo } from '../contract.ts';
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
  ...readInfo(row.info),
  id: row.id,
  projectId: row.project_id,
  path: row.path,
  embedded: row.embedded === 1,
  createdAt: row.created_at,
});

type Stored = Omit<ModelInfo, 'acceptFields' | 'linears'> &
  Partial<Pick<ModelInfo, 'acceptFields'>> & {
    readonly linears: readonly (Omit<LinearInfo, 'layers'> & Partial<LinearInfo>)[];
  };

/**
 * Reads what is known of a model. Earlier studios stored models whose blocks were all alike, and accepted no unknown fields.
 */
function readInfo(text: string): ModelInfo {
  const info = jsonObject<Stored>('info', text);
  const layers = [...Array(info.layers).keys()];
  return { acceptFields: [], ...info, linears: info.linears.map((linear) => ({ layers, ...linear })) };
}

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
  /** Adds a model, or replaces what is known of the same path in the same project. Returns the stored model. */
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
