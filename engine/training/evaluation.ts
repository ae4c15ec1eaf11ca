/** Computes the loss of a model on examples. */
import { Problem } from '../problem.ts';
import type { Example } from './examples.ts';
import { passOver, placesOf, type Passing } from './pass.ts';
import type { TrainStep } from './step.ts';

/** Holds the mean loss in nats over all supervised tokens of some examples, and the mean loss of each example. */
export interface ExamplesLoss {
  readonly loss: number;
  readonly supervisedTokens: number;
  readonly examples: readonly { readonly loss: number; readonly supervisedTokens: number }[];
  /** Holds the mean loss over the supervised tokens of each part of a mix, by its number. */
  readonly parts: ReadonlyMap<number, number>;
}

export interface Evaluation extends Pick<Passing, 'recipe' | 'stopRequested'> {
  readonly step: Pick<TrainStep, 'evaluate'>;
  readonly parameters: Float32Array;
  onProgress?(examplesDone: number): void;
}

/**
 * Evaluates `examples` in the batches of the recipe. A loss that is not finite is refused with a `Problem` that names the rows.
 */
export async function evaluateExamples(examples: readonly Example[], evaluation: Evaluation): Promise<ExamplesLoss> {
  const { step, parameters, onProgress = () => {} } = evaluation;
  const sums = new Float64Array(examples.length);
  const counts = new Uint32Array(examples.length);
  const passing: Passing = {
    ...evaluation,
    compute: (batch) => step.evaluate(batch, parameters),
    notFinite: (bad) =>
      new Problem(
        'loss-not-finite',
        `The loss is not a finite number. Rows: ${placesOf(bad)}.`,
        'The model or the adapter may be damaged, or come from a run that diverged.',
      ),
  };
  for await (const { sequences, losses } of passOver(examples, passing)) {
    sequences.forEach(({ place }, i) => {
      for (const loss of losses[i]!) sums[place]! += loss;
      counts[place]! += losses[i]!.length;
    });
    onProgress(sequences.at(-1)!.place + 1);
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return {
    loss: sums.reduce((sum, loss) => sum + loss, 0) / total,
    supervisedTokens: total,
    parts: meansByPart(examples, sums, counts),
    examples: Array.from(counts, (count, i) => ({ loss: count === 0 ? 0 : sums[i]! / count, supervisedTokens: count })),
  };
}

/** Returns the loss of each row, which may be several examples: the mean over the supervised tokens of all of them. */
export function lossesByRow(
  examples: readonly Pick<Example, 'index'>[],
  losses: ExamplesLoss['examples'],
): ReadonlyMap<number, number> {
  const ofRows = Map.groupBy(losses.keys(), (i) => examples[i]!.index);
  return new Map([...ofRows].map(([row, own]) => [row, meanLoss(own.map((i) => losses[i]!))]));
}

function meanLoss(losses: ExamplesLoss['examples']): number {
  // A single example keeps its loss bit for bit.
  if (losses.length === 1) return losses[0]!.loss;
  const tokens = losses.reduce((sum, { supervisedTokens }) => sum + supervisedTokens, 0);
  return losses.reduce((sum, { loss, supervisedTokens }) => sum + loss * supervisedTokens, 0) / Math.max(1, tokens);
}

function meansByPart(examples: readonly Example[], sums: Float64Array, counts: Uint32Array): ReadonlyMap<number, number> {
  const byPart = Map.groupBy(examples.keys(), (i) => examples[i]!.mixPart ?? 0);
  const sum = (all: readonly number[]) => all.reduce((total, one) => total + one, 0);
  return new Map([...byPart].map(([part, own]) => [part, sum(own.map((i) => sums[i]!)) / sum(own.map((i) => counts[i]!))]));
}
