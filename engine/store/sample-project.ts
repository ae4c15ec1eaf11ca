/** Stores in the table `sample` how far the sample of the first start is. */
import type { Database } from 'better-sqlite3';
import type { SampleProjectState } from '../contract.ts';
import { jsonObject, type Rows } from './rows.ts';

export class StoredSampleProject {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  get(): SampleProjectState | null {
    const row = this.#db.prepare<[], { state: string }>('SELECT state FROM sample').get();
    // A state that cannot be read can be made again.
    return (
      this.#rows.list('sample', row ? [row] : [], ({ state }) => jsonObject<SampleProjectState>('state', state))[0] ?? null
    );
  }
  put(state: SampleProjectState): void {
    this.#db.prepare('INSERT OR REPLACE INTO sample (one, state) VALUES (1, ?)').run(JSON.stringify(state));
  }
}
