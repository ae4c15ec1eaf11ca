/** Table `samples`: answers to the fixed prompts of a run. */
import type { Database } from 'better-sqlite3';
import type { Sample } from '../contract.ts';

export class Samples {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  put(runId: string, sample: Sample): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO samples (run_id, step, prompt, prompt_text, expected, text) VALUES (?, ?, ?, ?, ?, ?)')
      .run(runId, sample.step, sample.prompt, sample.promptText, sample.expected, sample.text);
  }
  removeAfter(runId: string, step: number): void {
    this.#db.prepare('DELETE FROM samples WHERE run_id = ? AND step > ?').run(runId, step);
  }
  list(runId: string): Sample[] {
    return this.#db
      .prepare<[string], Sample>(
        'SELECT step, prompt, prompt_text AS promptText, expected, text FROM samples WHERE run_id = ? ORDER BY step, prompt',
      )
      .all(runId);
  }
}
