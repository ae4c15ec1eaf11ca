/** Says which rows a run puts into one sequence. */
import type { Recipe } from '../recipe.ts';
import { packsOf } from './micro-batch.ts';
import { ExampleOrder, totalExamples } from './order.ts';

/** Says what decides which rows are packed together. */
export type PackingRecipe = Pick<
  Recipe,
  'packing' | 'shuffle' | 'seed' | 'batchSize' | 'gradientAccumulation' | 'epochs' | 'maxSteps'
>;

/** The examples that a run draws from: the row and the tokens of each, cut as they are trained. */
export interface ExampleLengths {
  readonly rows: Uint32Array;
  readonly lengths: Uint32Array;
}

/** Describes the sequence in which a row is trained for the first time. */
export interface Pack {
  /** Holds the step that trains it, from 1. */
  readonly step: number;
  /** Holds the examples of the sequence in their order: the row of each and its tokens. */
  readonly parts: readonly { readonly row: number; readonly tokens: number }[];
}

/** Returns the sequence that has the first example of a row in the first epoch; null where no step of the run takes it, or nothing is packed. */
export function packOf(row: number, { rows, lengths }: ExampleLengths, recipe: PackingRecipe): Pack | null {
  const example = rows.indexOf(row);
  if (!recipe.packing || example < 0) return null;
  const order = new ExampleOrder(Uint32Array.from(rows.keys()), recipe, totalExamples(recipe, rows.length));
  const step = order.stepOf(example);
  if (step === null) return null;
  const drawn = order.examplesOf(step).map((at) => ({ at, inputIds: { length: lengths[at]! } }));
  for (const pack of packsOf(drawn))
    if (pack.some(({ at }) => at === example))
      return { step: step + 1, parts: pack.map(({ at }) => ({ row: rows[at]!, tokens: lengths[at]! })) };
  return null;
}
