/** Table `sample`: how the first-start sample stands. */
import type { Database } from 'better-sqlite3';
import type { SampleState } from '../contract.ts';

export class SampleStates {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  get(): SampleState | null {
    const row = this.#db.prepare<[], { state: string }>('SELECT state FROM sample').get();
    return row ? (JSON.parse(row.state) as SampleState) : null;
  }
  put(state: SampleState): void {
    this.#db.prepare('INSERT OR REPLACE INTO sample (one, state) VALUES (1, ?)').run(JSON.stringify(state));
  }
}
