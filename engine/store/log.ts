/** Stores the lines of a run's log in the table `log_lines`. */
import type { Database } from 'better-sqlite3';
import type { LogLine } from '../contract.ts';

/** Limits the lines of one answer, about 1 MB as JSON. */
const linesOfPage = 10_000;

export class Log {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  add(runId: string, line: LogLine): void {
    this.#db.prepare('INSERT INTO log_lines (run_id, at, text) VALUES (?, ?, ?)').run(runId, line.at, line.text);
  }
  /** Returns the newest lines. If there are more than `most`, the first line says how many are not shown. */
  list(runId: string, most = linesOfPage): LogLine[] {
    const lines = this.#db
      .prepare<[string, number], LogLine>('SELECT at, text FROM log_lines WHERE run_id = ? ORDER BY sequence DESC LIMIT ?')
      .all(runId, most + 1)
      .reverse();
    if (lines.length <= most) return lines;
    const { count } = this.#db
      .prepare<[string], { count: number }>('SELECT count(*) AS count FROM log_lines WHERE run_id = ?')
      .get(runId)!;
    const [{ at }, ...shown] = lines as [LogLine, ...LogLine[]];
    return [{ at, text: `${(count - most).toLocaleString('en-US')} earlier lines are not shown.` }, ...shown];
  }
}
