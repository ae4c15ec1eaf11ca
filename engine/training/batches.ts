/** Which rows a step takes. */
import type { Recipe } from '../recipe.ts';
import { permutation } from '../random.ts';

/** One row as training sees it; `file` and `line` are for messages. */
export interface TrainingRow {
  readonly index: number;
  readonly file: string;
  readonly line: number;
  readonly inputIds: Int32Array;
  /** -100 is ignored; labels[t] belongs to inputIds[t]. */
  readonly labels: Int32Array;
}

/** Rows cut to `maxLength`, without those that leave nothing to train on, and how many were cut or left out. */
export interface PreparedRows {
  readonly rows: readonly TrainingRow[];
  readonly truncated: number;
  readonly withoutTarget: number;
}

/** Labels that count: the first never does, since nothing comes before it. */
export function supervisedTokens(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== -100) count += 1;
  return count;
}

export function prepareRows(rows: readonly TrainingRow[], maxLength: number): PreparedRows {
  const kept: TrainingRow[] = [];
  let truncated = 0;
  for (const row of rows) {
    const long = row.inputIds.length > maxLength;
    if (long) truncated += 1;
    const cut = long ? cutRow(row, maxLength) : row;
    if (supervisedTokens(cut.labels) > 0) kept.push(cut);
  }
  return { rows: kept, truncated, withoutTarget: rows.length - kept.length };
}

function cutRow({ index, file, line, inputIds, labels }: TrainingRow, maxLength: number): TrainingRow {
  return { index, file, line, inputIds: inputIds.subarray(0, maxLength), labels: labels.subarray(0, maxLength) };
}

type LengthRecipe = Pick<Recipe, 'maxSteps' | 'epochs' | 'batchSize' | 'gradientAccumulation'>;

/** Rows of a full step. */
export function rowsPerStep({ batchSize, gradientAccumulation }: Pick<Recipe, 'batchSize' | 'gradientAccumulation'>): number {
  return batchSize * gradientAccumulation;
}

/** Rows that a run of so many takes over all its steps: as the epochs say, or full steps where their number is set. */
export function totalRows(recipe: LengthRecipe, rows: number): number {
  if (recipe.maxSteps > 0) return recipe.maxSteps * rowsPerStep(recipe);
  // The nudge keeps 0.1 x 30 rows from becoming a fourth row by rounding.
  return Math.max(1, Math.ceil(recipe.epochs * rows - 1e-9));
}

/** Optimizer steps of a run; the last one may take fewer rows. */
export function totalSteps(recipe: LengthRecipe, rows: number): number {
  return Math.ceil(totalRows(recipe, rows) / rowsPerStep(recipe));
}

/** The order of all rows through all epochs. Position p of a run is a pure function of the seed, so a resumed run needs no cursor. */
export class RowOrder {
  readonly #rows: readonly TrainingRow[];
  readonly #recipe: Pick<Recipe, 'batchSize' | 'gradientAccumulation' | 'shuffle' | 'seed'>;
  readonly #total: number;
  #epoch = -1;
  #order: Int32Array = new Int32Array(0);

  /** `total`: rows after which the run ends. */
  constructor(
    rows: readonly TrainingRow[],
    recipe: Pick<Recipe, 'batchSize' | 'gradientAccumulation' | 'shuffle' | 'seed'>,
    total = Number.POSITIVE_INFINITY,
  ) {
    this.#rows = rows;
    this.#recipe = recipe;
    this.#total = total;
  }

  /** Passes over the data that are complete after `steps` steps, as a fraction. */
  epochsAfter(steps: number): number {
    return Math.min(steps * rowsPerStep(this.#recipe), this.#total) / this.#rows.length;
  }

  /** The micro-batches of step `step` (from 0), each a list of rows. */
  stepRows(step: number): TrainingRow[][] {
    const first = step * rowsPerStep(this.#recipe);
    const count = Math.min(rowsPerStep(this.#recipe), this.#total - first);
    const rows = Array.from({ length: count }, (_, i) => this.#rowAt(first + i));
    return inGroups(rows, this.#recipe.batchSize);
  }

  #rowAt(position: number): TrainingRow {
    const epoch = Math.floor(position / this.#rows.length);
    if (this.#recipe.shuffle && epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#order = permutation(this.#rows.length, this.#recipe.seed, epoch);
    }
    const place = position % this.#rows.length;
    return this.#rows[this.#recipe.shuffle ? this.#order[place]! : place]!;
  }
}

/** Tokens of the longest row. */
export function longestRow(rows: readonly TrainingRow[]): number {
  return rows.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0);
}

/** Rows in groups of at most `size`, in order: micro-batches. */
export function inGroups<T>(rows: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) => rows.slice(i * size, (i + 1) * size));
}
