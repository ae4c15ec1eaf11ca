/** Table `exports`: what was written, where, and the proof of it. */
import type { Database } from 'better-sqlite3';
import type { ExportFormat, ExportRecord, Proof, Quantization } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';

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
  proof: row.proof === null ? null : (JSON.parse(row.proof) as Proof),
  problem: row.problem === null ? null : (JSON.parse(row.problem) as ProblemValue),
  createdAt: row.created_at,
});

export class Exports {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  list(projectId: string): ExportRecord[] {
    return this.#db
      .prepare<[string], Row>('SELECT * FROM exports WHERE project_id = ? ORDER BY sequence')
      .all(projectId)
      .map(fromRow);
  }
  running(): ExportRecord[] {
    return this.#db.prepare<[], Row>("SELECT * FROM exports WHERE state = 'running'").all().map(fromRow);
  }
  put(e: ExportRecord): void {
    this.#db
      .prepare(
        `INSERT INTO exports (id, project_id, adapter_id, adapter_name, model_name, format, quantization, path, bytes, state, proof,
           problem, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET path = excluded.path, bytes = excluded.bytes, state = excluded.state,
           proof = excluded.proof, problem = excluded.problem`,
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
        e.problem === null ? null : JSON.stringify(e.problem),
        e.createdAt,
      );
  }
}
