/** One pass over examples: micro-batch by micro-batch through the model, heeding a stop, and refusing losses that are not finite. */
import { setImmediate as macrotask } from 'node:timers/promises';
import { Problem } from '../problem.ts';
import type { Recipe } from '../recipe.ts';
import { sequencesOf, type DrawnSequence, type Example } from './examples.ts';
import { microBatches, toMicroBatch, type MicroBatch } from './micro-batch.ts';
import type { StepResult } from './step.ts';

export interface Passing {
  readonly recipe: Pick<Recipe, 'packing' | 'batchSize'>;
  stopRequested(): boolean;
  /** Puts a micro-batch through the model, whose first sequence is the one numbered `first` of the pass. */
  compute(batch: MicroBatch, first: number): Promise<StepResult>;
  /** What is told of a loss that is not finite, with the examples it comes from. */
  notFinite(examples: readonly Example[]): Problem;
}

/** What a micro-batch gave: its sequences, for each the losses of its supervised tokens, and the gradient where one was computed. */
export interface Passed {
  readonly sequences: readonly DrawnSequence[];
  readonly losses: readonly Float32Array[];
  readonly gradient: Float32Array | null;
}

/** Goes over examples. An example's sequences may lie in different micro-batches. */
export async function* passOver(examples: Iterable<Example>, passing: Passing): AsyncGenerator<Passed> {
  let first = 0;
  for (const sequences of microBatches(sequencesOf(examples), passing.recipe)) {
    await stopHere(passing);
    const { tokenLoss, tokenRow, gradient } = await passing.compute(toMicroBatch(sequences, passing.recipe), first);
    const losses = byRow(tokenLoss, tokenRow, sequences.length);
    const bad = sequences.filter((_, i) => !losses[i]!.every(Number.isFinite)).map(({ example }) => example);
    if (bad.length > 0) throw passing.notFinite([...new Set(bad)]);
    yield { sequences, losses, gradient };
    first += sequences.length;
  }
}

/** Cuts values, which are in the order of their rows, into those of each row. */
function byRow(values: Float32Array, row: Int32Array, rows: number): Float32Array[] {
  let end = 0;
  return Array.from({ length: rows }, (_, i) => {
    const start = end;
    while (end < values.length && row[end] === i) end++;
    return values.subarray(start, end);
  });
}

/** Someone asked to stop; thrown where no state is half-changed. */
export class Stopped extends Problem {
  constructor() {
    super('stopped', 'Stopped before the end, as asked.', 'A training run has saved a checkpoint and can be resumed from it.');
  }
}

/** Lets messages arrive, which they cannot while a graph runs, and heeds a request to stop. */
async function stopHere({ stopRequested }: Pick<Passing, 'stopRequested'>): Promise<void> {
  await macrotask();
  if (stopRequested()) throw new Stopped();
}

/** Names the rows of the first few examples. */
export function placesOf(examples: readonly Example[]): string {
  const places = examples.slice(0, 4).map(({ file, line }) => `${file}, line ${line}`);
  return places.join('; ') + (examples.length > places.length ? ` and ${examples.length - places.length} more` : '');
}
