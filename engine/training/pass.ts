/**
 * Passes examples through the model, micro-batch by micro-batch. It obeys requests to stop and refuses losses that are not
 * finite.
 */
import { setImmediate as macrotask } from 'node:timers/promises';
import { Problem } from '../problem.ts';
import type { Recipe } from '../recipe.ts';
import { sequencesOf, type DrawnSequence, type Example } from './examples.ts';
import { microBatches, toMicroBatch, type MicroBatch } from './micro-batch.ts';
import type { StepResult } from './step.ts';

/** Describes a pass over examples. */
export interface Passing {
  readonly recipe: Pick<Recipe, 'packing' | 'batchSize'>;
  stopRequested(): boolean;
  /** Computes a micro-batch whose first sequence has the index `first` in the pass. */
  compute(batch: MicroBatch, first: number): Promise<StepResult>;
  /** Returns the error for a loss that is not finite, given the examples it comes from. */
  notFinite(examples: readonly Example[]): Problem;
}

/**
 * Holds the result of a micro-batch: its sequences, the losses of the supervised tokens of each, and the gradient if one was
 * computed.
 */
export interface Passed {
  readonly sequences: readonly DrawnSequence[];
  readonly losses: readonly Float32Array[];
  readonly gradient: Float32Array | null;
}

/** Yields the result of each micro-batch of the examples. The sequences of an example may lie in different micro-batches. */
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

/** Splits values, which are in the order of their rows, into those of each row. */
function byRow(values: Float32Array, row: Int32Array, rows: number): Float32Array[] {
  let end = 0;
  return Array.from({ length: rows }, (_, i) => {
    const start = end;
    while (end < values.length && row[end] === i) end++;
    return values.subarray(start, end);
  });
}

/** Reports that a stop was requested. It is thrown only where no state is half-changed. */
export class Stopped extends Problem {
  constructor() {
    super('stopped', 'Stopped before the end, as asked.', 'A training run has saved a checkpoint and can be resumed from it.');
  }
}

/** Lets messages arrive, which they cannot while a graph runs, and throws `Stopped` if one of them asked to stop. */
async function stopHere({ stopRequested }: Pick<Passing, 'stopRequested'>): Promise<void> {
  await macrotask();
  if (stopRequested()) throw new Stopped();
}

/** Names the rows of the first few examples. */
export function placesOf(examples: readonly Example[]): string {
  const places = examples.slice(0, 4).map(({ file, line }) => `${file}, line ${line}`);
  return places.join('; ') + (examples.length > places.length ? ` and ${examples.length - places.length} more` : '');
}
