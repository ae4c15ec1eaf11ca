/**
 * Stores what evaluations have measured of a subject in the table `measures`, one number for each step and measure. Triggers
 * remove the measures of a subject that is removed.
 */
import type { Database } from 'better-sqlite3';
import { infoOf, type MeasureName, type Measures, type MeasureTotal, type MeasureTotals } from '../measures.ts';

/** Names what was measured: a run, at its steps. */
export interface Subject {
  readonly kind: 'run';
  readonly id: string;
}

export interface MeasuresAt {
  readonly step: number;
  readonly measures: Measures;
}

export class MeasureTable {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  /** Stores the measures of a step, and replaces those that the step has already. */
  put({ kind, id }: Subject, { step, measures }: MeasuresAt): void {
    const put = this.#db.prepare(
      'INSERT OR REPLACE INTO measures (subject_kind, subject_id, step, name, value) VALUES (?, ?, ?, ?, ?)',
    );
    for (const [name, value] of Object.entries(measures)) put.run(kind, id, step, name, value);
  }

  /** Returns the measures of the steps after `step`, oldest first; at most `most` steps. */
  after({ kind, id }: Subject, step: number, most = -1): MeasuresAt[] {
    return this.#db
      .prepare<[string, string, number, number], { step: number; measures: string }>(
        `SELECT step, json_group_object(name, value) AS measures FROM measures
         WHERE subject_kind = ? AND subject_id = ? AND step > ? GROUP BY step ORDER BY step LIMIT ?`,
      )
      .all(kind, id, step, most)
      .map(({ step, measures }) => ({ step, measures: JSON.parse(measures) as Measures }));
  }

  /** Computes the totals of the measures of all steps. */
  totals({ kind, id }: Subject): MeasureTotals {
    const of = 'FROM measures WHERE subject_kind = @kind AND subject_id = @id';
    const names = this.#db.prepare<[Subject], MeasureName>(`SELECT DISTINCT name ${of}`).pluck().all({ kind, id });
    const totals = names.map((name): [MeasureName, MeasureTotal] => {
      const direction = infoOf(name).better === 'lower' ? 'ASC' : 'DESC';
      const total = this.#db.prepare<[Subject & { name: string }], MeasureTotal>(
        `SELECT (SELECT value ${of} AND name = @name ORDER BY step DESC LIMIT 1) AS last, value AS best, step AS bestStep
         ${of} AND name = @name ORDER BY value ${direction}, step LIMIT 1`,
      );
      return [name, total.get({ kind, id, name })!];
    });
    return Object.fromEntries(totals);
  }

  /** Returns the newest step with a measure, or null before there is one. */
  lastStep({ kind, id }: Subject): number | null {
    return this.#db
      .prepare<[string, string], number | null>('SELECT max(step) FROM measures WHERE subject_kind = ? AND subject_id = ?')
      .pluck()
      .get(kind, id)!;
  }

  removeAfter({ kind, id }: Subject, step: number): void {
    this.#db.prepare('DELETE FROM measures WHERE subject_kind = ? AND subject_id = ? AND step > ?').run(kind, id, step);
  }
}
