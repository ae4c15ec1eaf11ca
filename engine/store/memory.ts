/** Stores in the table `memory_measures` how much memory runs on this machine really took, by what decides it. */
import type { Database } from 'better-sqlite3';
import type { Recipe } from '../recipe.ts';
import { jsonObject, type Rows } from './rows.ts';

export interface MemoryMeasure {
  readonly recipe: Partial<Recipe>;
  /** Gives the number of tokens of the longest row. */
  readonly longest: number;
  readonly bytes: number;
  readonly measuredBy: string;
}

interface Row {
  sequence: number;
  recipe: string;
  longest: number;
  bytes: number;
  run_name: string;
}

export class MemoryMeasures {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  /** Stores a measurement, and replaces an earlier one of the same recipe and length. */
  put(modelPath: string, { recipe, longest, bytes, measuredBy }: MemoryMeasure): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO memory_measures (model_path, recipe, longest, bytes, run_name) VALUES (?, ?, ?, ?, ?)')
      .run(modelPath, JSON.stringify(recipe), longest, bytes, measuredBy);
  }
  /** Returns the measurements of a model, newest first. */
  of(modelPath: string): MemoryMeasure[] {
    const rows = this.#db
      .prepare<[string], Row>('SELECT * FROM memory_measures WHERE model_path = ? ORDER BY sequence DESC')
      .all(modelPath);
    return this.#rows.list('memory_measures', rows, ({ recipe, longest, bytes, run_name }) => ({
      recipe: jsonObject<Partial<Recipe>>('recipe', recipe),
      ...{ longest, bytes, measuredBy: run_name },
    }));
  }
}
