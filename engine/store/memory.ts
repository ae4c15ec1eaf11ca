/** Table `memory_measures`: what runs on this machine really took, by what decides it. */
import type { Database } from 'better-sqlite3';
import type { Recipe } from '../recipe.ts';

export interface MemoryMeasure {
  readonly recipe: Partial<Recipe>;
  /** Tokens of the longest row. */
  readonly longest: number;
  readonly bytes: number;
  readonly measuredBy: string;
}

interface Row {
  recipe: string;
  longest: number;
  bytes: number;
  run_name: string;
}

export class MemoryMeasures {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  /** Of the same recipe and length only the newest is kept. */
  put(modelPath: string, { recipe, longest, bytes, measuredBy }: MemoryMeasure): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO memory_measures (model_path, recipe, longest, bytes, run_name) VALUES (?, ?, ?, ?, ?)')
      .run(modelPath, JSON.stringify(recipe), longest, bytes, measuredBy);
  }
  /** Newest first. */
  of(modelPath: string): MemoryMeasure[] {
    return this.#db
      .prepare<[string], Row>('SELECT * FROM memory_measures WHERE model_path = ? ORDER BY sequence DESC')
      .all(modelPath)
      .map(({ recipe, longest, bytes, run_name }) => ({
        recipe: JSON.parse(recipe) as Partial<Recipe>,
        ...{ longest, bytes, measuredBy: run_name },
      }));
  }
}
