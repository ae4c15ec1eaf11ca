/** Stores in the table `evaluations` who was compared on which rows, how far that is, and the verdict. */
import type { Database } from 'better-sqlite3';
import type { Evaluation, EvaluationRequest, EvaluationState } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';
import { jsonArray, jsonObject, type Rows } from './rows.ts';

interface Row {
  id: string;
  project_id: string;
  name: string;
  state: string;
  model_name: string;
  model_path: string;
  data_name: string;
  request: string;
  contestants: string;
  rows: number | null;
  answered: number;
  answers: number | null;
  rows_hash: string | null;
  verdict: string | null;
  problem: string | null;
  created_at: number;
  finished_at: number | null;
  looks: number;
}
const fromRow = (row: Row): Evaluation => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  state: row.state as EvaluationState,
  modelName: row.model_name,
  modelPath: row.model_path,
  dataName: row.data_name,
  request: jsonObject<EvaluationRequest>('request', row.request),
  contestants: jsonArray<string>('contestants', row.contestants),
  rows: row.rows,
  answered: row.answered,
  answers: row.answers,
  rowsHash: row.rows_hash,
  looks: row.looks,
  verdict: row.verdict === null ? null : jsonObject<NonNullable<Evaluation['verdict']>>('verdict', row.verdict),
  problem: row.problem === null ? null : jsonObject<ProblemValue>('problem', row.problem),
  createdAt: row.created_at,
  finishedAt: row.finished_at,
});

/** Every evaluation that has read its rows counts as a look at them, whether it was finished or not. */
const select = `SELECT *, (SELECT count(*) FROM evaluations AS earlier
  WHERE earlier.rows_hash = evaluations.rows_hash AND earlier.sequence < evaluations.sequence) AS looks FROM evaluations`;

export class Evaluations {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  /** Returns the evaluations of a project, newest first. */
  list(projectId: string): Evaluation[] {
    const rows = this.#db.prepare<[string], Row>(`${select} WHERE project_id = ? ORDER BY sequence DESC`).all(projectId);
    return this.#rows.list('evaluations', rows, fromRow);
  }
  running(): Evaluation[] {
    return this.#rows.list('evaluations', this.#db.prepare<[], Row>(`${select} WHERE state = 'running'`).all(), fromRow);
  }
  get(id: string): Evaluation | null {
    return this.#rows.one('evaluations', this.#db.prepare<[string], Row>(`${select} WHERE id = ?`).get(id), fromRow);
  }
  /** Counts the evaluations that have read rows with this hash. */
  looksAt(rowsHash: string): number {
    const sql = 'SELECT count(*) FROM evaluations WHERE rows_hash = ?';
    return this.#db.prepare<[string], number>(sql).pluck().get(rowsHash)!;
  }
  put(e: Evaluation): void {
    this.#db
      .prepare(
        `INSERT INTO evaluations (id, project_id, name, state, model_name, model_path, data_name, request, contestants, rows, answered,
           answers, rows_hash, verdict, problem, created_at, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, rows = excluded.rows,
           answered = excluded.answered, answers = excluded.answers, rows_hash = excluded.rows_hash, verdict = excluded.verdict,
           problem = excluded.problem, finished_at = excluded.finished_at`,
      )
      .run(
        ...[e.id, e.projectId, e.name, e.state, e.modelName, e.modelPath, e.dataName],
        ...[JSON.stringify(e.request), JSON.stringify(e.contestants), e.rows, e.answered, e.answers, e.rowsHash],
        ...[e.verdict, e.problem].map((value) => (value === null ? null : JSON.stringify(value))),
        ...[e.createdAt, e.finishedAt],
      );
  }
  remove(id: string): void {
    this.#db.prepare('DELETE FROM evaluations WHERE id = ?').run(id);
  }
}
