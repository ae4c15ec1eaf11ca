/** Stores in the table `queue` the runs that are continued when a host starts, in their order. */
import type { Database } from 'better-sqlite3';
import type { RecipeInput } from '../recipe.ts';
import { jsonObject, type Rows } from './rows.ts';
import type { RunJob } from './runs.ts';

export interface QueuedRun {
  readonly runId: string;
  /** Holds the fields that were requested; a resumed run keeps its other fields. */
  readonly recipe: RecipeInput;
  readonly job: RunJob;
  /** Gives the step of the checkpoint from which a host resumed it by itself, or null until one has. */
  readonly resumedFrom: number | null;
}

interface Row {
  run_id: string;
  recipe: string;
  job: string;
  continued_from: number | null;
}

export class Queue {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(): QueuedRun[] {
    const rows = this.#db.prepare<[], Row>('SELECT * FROM queue ORDER BY position').all();
    return this.#rows.list('queue', rows, ({ run_id, recipe, job, continued_from }) => ({
      runId: run_id,
      recipe: jsonObject<RecipeInput>('recipe', recipe),
      job: jsonObject<RunJob>('job', job),
      resumedFrom: continued_from,
    }));
  }
  /** Adds a run at the end of the queue. */
  add(runId: string, recipe: RecipeInput, job: RunJob): void {
    this.#db
      .prepare(
        `INSERT OR REPLACE INTO queue (run_id, position, recipe, job)
         VALUES (?, (SELECT ifnull(max(position), 0) + 1 FROM queue), ?, ?)`,
      )
      .run(runId, JSON.stringify(recipe), JSON.stringify(job));
  }
  remove(runId: string): void {
    this.#db.prepare('DELETE FROM queue WHERE run_id = ?').run(runId);
  }
  /** Puts the runs into this order. Runs that are not in the table are ignored. This belongs into a transaction. */
  arrange(runIds: readonly string[]): void {
    const place = this.#db.prepare('UPDATE queue SET position = ? WHERE run_id = ?');
    for (const [position, runId] of runIds.entries()) place.run(position, runId);
  }
  /** Records the step from which a host resumes the run by itself. */
  noteResume(runId: string, step: number): void {
    this.#db.prepare('UPDATE queue SET continued_from = ? WHERE run_id = ?').run(step, runId);
  }
}
