/** Table `log_lines`: what a run said. */
import type { Database } from 'better-sqlite3';
import type { LogLine } from '../contract.ts';

export class Log {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  add(runId: string, line: LogLine): void {
    this.#db.prepare('INSERT INTO log_lines (run_id, at, text) VALUES (?, ?, ?)').run(runId, line.at, line.text);
  }
  list(runId: string): LogLine[] {
    return this.#db.prepare<[string], LogLine>('SELECT at, text FROM log_lines WHERE run_id = ? ORDER BY sequence').all(runId);
  }
}
