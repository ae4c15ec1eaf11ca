/** Stores the answers to the fixed prompts of a run in the table `samples`, each with its verdict. */
import type { Database } from 'better-sqlite3';
import type { Sample, Verdict } from '../contract.ts';
import { jsonObject, type Rows } from './rows.ts';

interface Row extends Omit<Sample, 'verdict'> {
  verdict: string | null;
}

export class Samples {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  put(runId: string, sample: Sample): void {
    this.#db
      .prepare(
        `INSERT OR REPLACE INTO samples (run_id, step, prompt, prompt_text, expected, text, verdict)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        runId,
        sample.step,
        sample.prompt,
        sample.promptText,
        sample.expected,
        sample.text,
        sample.verdict && JSON.stringify(sample.verdict),
      );
  }
  removeAfter(runId: string, step: number): void {
    this.#db.prepare('DELETE FROM samples WHERE run_id = ? AND step > ?').run(runId, step);
  }
  list(runId: string): Sample[] {
    const rows = this.#db
      .prepare<[string], Row>(
        `SELECT step, prompt, prompt_text AS promptText, expected, text, verdict
         FROM samples WHERE run_id = ? ORDER BY step, prompt`,
      )
      .all(runId);
    return this.#rows.list('samples', rows, (row) => ({
      ...row,
      verdict: row.verdict === null ? null : jsonObject<Verdict>('verdict', row.verdict),
    }));
  }
}
