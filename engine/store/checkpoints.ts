/**
 * Stores in the table `checkpoints` where the states are from which a run can be resumed. The job writes the files, and deletes
 * older ones itself.
 */
import type { Database } from 'better-sqlite3';
import type { Checkpoint } from '../contract.ts';

export class Checkpoints {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  /** Adds a checkpoint and forgets all but the newest `keep`. */
  put(runId: string, checkpoint: Checkpoint, keep: number): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO checkpoints (run_id, step, path, bytes, created_at) VALUES (?, ?, ?, ?, ?)')
      .run(runId, checkpoint.step, checkpoint.path, checkpoint.bytes, checkpoint.createdAt);
    this.#db
      .prepare(
        `DELETE FROM checkpoints WHERE run_id = ? AND step NOT IN
           (SELECT step FROM checkpoints WHERE run_id = ? ORDER BY step DESC LIMIT ?)`,
      )
      .run(runId, runId, keep);
  }
  removeAfter(runId: string, step: number): void {
    this.#db.prepare('DELETE FROM checkpoints WHERE run_id = ? AND step > ?').run(runId, step);
  }
  list(runId: string): Checkpoint[] {
    return this.#db
      .prepare<[string], Checkpoint>(
        'SELECT step, path, bytes, created_at AS createdAt FROM checkpoints WHERE run_id = ? ORDER BY step',
      )
      .all(runId);
  }
}
