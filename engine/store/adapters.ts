/** Stores adapter versions in the table `adapters`, each with where it came from. */
import type { Database } from 'better-sqlite3';
import type { AdapterVersion } from '../contract.ts';
import { jsonArray, type Rows } from './rows.ts';

interface Row {
  id: string;
  project_id: string;
  name: string;
  path: string;
  run_id: string | null;
  run_name: string | null;
  step: number | null;
  model_id: string | null;
  model_name: string;
  model_path: string;
  dataset_name: string | null;
  rank: number;
  alpha: number;
  target_modules: string;
  parameters: number;
  bytes: number;
  hash: string;
  config_hash: string | null;
  eval_loss: number | null;
  tag: string | null;
  created_at: number;
}
const fromRow = (row: Row): AdapterVersion => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  path: row.path,
  runId: row.run_id,
  runName: row.run_name,
  step: row.step,
  modelId: row.model_id,
  modelName: row.model_name,
  modelPath: row.model_path,
  datasetName: row.dataset_name,
  rank: row.rank,
  alpha: row.alpha,
  targetModules: jsonArray('target_modules', row.target_modules),
  parameters: row.parameters,
  bytes: row.bytes,
  hash: row.hash,
  configHash: row.config_hash,
  evalLoss: row.eval_loss,
  tag: row.tag as AdapterVersion['tag'],
  createdAt: row.created_at,
});

export class Adapters {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId: string): AdapterVersion[] {
    return this.#rows.list(
      'adapters',
      this.#db.prepare<[string], Row>('SELECT * FROM adapters WHERE project_id = ? ORDER BY sequence').all(projectId),
      fromRow,
    );
  }
  get(id: string): AdapterVersion | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM adapters WHERE id = ?').get(id);
    return this.#rows.one('adapters', row, fromRow);
  }
  ofRun(runId: string): AdapterVersion | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM adapters WHERE run_id = ? ORDER BY sequence DESC').get(runId);
    return this.#rows.one('adapters', row, fromRow);
  }
  /** Returns the newest version at a path, or null when there is none. */
  atPath(path: string): AdapterVersion | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM adapters WHERE path = ? ORDER BY sequence DESC').get(path);
    return this.#rows.one('adapters', row, fromRow);
  }
  /** Returns the versions whose weights have this hash, the newest first. */
  withHash(hash: string): AdapterVersion[] {
    return this.#rows.list(
      'adapters',
      this.#db.prepare<[string], Row>('SELECT * FROM adapters WHERE hash = ? ORDER BY sequence DESC').all(hash),
      fromRow,
    );
  }
  put(a: AdapterVersion): void {
    this.#db
      .prepare(
        `INSERT INTO adapters (id, project_id, name, path, run_id, run_name, step, model_id, model_name, model_path, dataset_name,
           rank, alpha, target_modules, parameters, bytes, hash, config_hash, eval_loss, tag, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET step = excluded.step, rank = excluded.rank, alpha = excluded.alpha,
           target_modules = excluded.target_modules, parameters = excluded.parameters, bytes = excluded.bytes,
           hash = excluded.hash, config_hash = excluded.config_hash, eval_loss = excluded.eval_loss`,
      )
      .run(
        a.id,
        a.projectId,
        a.name,
        a.path,
        a.runId,
        a.runName,
        a.step,
        a.modelId,
        a.modelName,
        a.modelPath,
        a.datasetName,
        a.rank,
        a.alpha,
        JSON.stringify(a.targetModules),
        a.parameters,
        a.bytes,
        a.hash,
        a.configHash,
        a.evalLoss,
        a.tag,
        a.createdAt,
      );
  }
  update(id: string, change: { name?: string; tag?: AdapterVersion['tag'] }): void {
    if (change.name !== undefined) this.#db.prepare('UPDATE adapters SET name = ? WHERE id = ?').run(change.name, id);
    if (change.tag !== undefined) this.#db.prepare('UPDATE adapters SET tag = ? WHERE id = ?').run(change.tag, id);
  }
}
