/** Stores in the table `exports` what was written, where, and the proof of it. */
import type { Database } from 'better-sqlite3';
import type { ExportedFile, ExportFormat, ExportRecord, Proof, Quantization } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';
import { jsonArray, jsonObject, type Rows } from './rows.ts';

interface Row {
  id: string;
  project_id: string;
  adapter_id: string | null;
  adapter_name: string;
  model_name: string;
  format: string;
  quantization: string | null;
  path: string;
  bytes: number;
  state: string;
  proof: string | null;
  files: string;
  problem: string | null;
  created_at: number;
}
const fromRow = (row: Row): ExportRecord => ({
  id: row.id,
  projectId: row.project_id,
  adapterId: row.adapter_id,
  adapterName: row.adapter_name,
  modelName: row.model_name,
  format: row.format as ExportFormat,
  quantization: row.quantization as Quantization | null,
  path: row.path,
  bytes: row.bytes,
  state: row.state as ExportRecord['state'],
  proof: row.proof === null ? null : jsonObject<Proof>('proof', row.proof),
  files: jsonArray<ExportedFile>('files', row.files),
  problem: row.problem === null ? null : jsonObject<ProblemValue>('problem', row.problem),
  createdAt: row.created_at,
});

export class Exports {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId: string): ExportRecord[] {
    return this.#rows.list(
      'exports',
      this.#db.prepare<[string], Row>('SELECT * FROM exports WHERE project_id = ? ORDER BY sequence').all(projectId),
      fromRow,
    );
  }
  running(): ExportRecord[] {
    return this.#rows.list(
      'exports',
      this.#db.prepare<[], Row>("SELECT * FROM exports WHERE state = 'running'").all(),
      fromRow,
    );
  }
  get(id: string): ExportRecord | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM exports WHERE id = ?').get(id);
    return this.#rows.one('exports', row, fromRow);
  }
  /** Returns the newest export that wrote a file with this SHA-256, or null when there is none. */
  withFile(sha256: string): ExportRecord | null {
    const row = this.#db
      .prepare<[string], Row>(
        "SELECT exports.* FROM exports, json_each(exports.files) AS file WHERE file.value ->> 'sha256' = ? ORDER BY sequence DESC",
      )
      .get(sha256);
    return this.#rows.one('exports', row, fromRow);
  }
  put(e: ExportRecord): void {
    this.#db
      .prepare(
        `INSERT INTO exports (id, project_id, adapter_id, adapter_name, model_name, format, quantization, path, bytes, state, proof,
           files, problem, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET path = excluded.path, bytes = excluded.bytes, state = excluded.state,
           proof = excluded.proof, files = excluded.files, problem = excluded.problem`,
      )
      .run(
        e.id,
        e.projectId,
        e.adapterId,
        e.adapterName,
        e.modelName,
        e.format,
        e.quantization,
        e.path,
        e.bytes,
        e.state,
        e.proof === null ? null : JSON.stringify(e.proof),
        JSON.stringify(e.files),
        e.problem === null ? null : JSON.stringify(e.problem),
        e.createdAt,
      );
  }
}
