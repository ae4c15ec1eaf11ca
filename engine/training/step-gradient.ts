/** Computes the loss and the gradient of a whole step by the objective of the run. */
import { Problem } from '../problem.ts';
import type { Example } from './examples.ts';
import type { ByToken, Objective, StepLoss, StepScores, StepWeights } from './objectives/objective.ts';
import { passOver, placesOf, type Passing } from './pass.ts';
import type { TrainStep } from './step.ts';

/** Describes the steps of a run: the model, the objective and the parameters. */
export interface ObjectiveStep extends Pick<Passing, 'recipe' | 'stopRequested'> {
  readonly step: Pick<TrainStep, 'gradient' | 'score'>;
  readonly objective: Objective;
  readonly parameters: Float32Array;
  /**
   * Lists the reference's log probabilities of the tokens of each sequence, by example, for an objective that needs a
   * reference.
   */
  readonly reference?: ReadonlyMap<Example, readonly Float32Array[]>;
}

/** Computes step `step` (from 0) over its examples. The result does not depend on how they are divided into micro-batches. */
export async function stepGradient(
  work: ObjectiveStep,
  examples: readonly Example[],
  step: number,
): Promise<StepLoss & { readonly gradient: Float32Array }> {
  const { objective, parameters, reference } = work;
  const pass = (compute: Passing['compute']) =>
    passOver(examples, { ...work, compute, notFinite: (bad) => notFinite('loss', step, bad) });
  const scoresOf = (losses: readonly Float32Array[]): StepScores => ({
    examples,
    policy: byExample(
      examples,
      losses.map((ofTokens) => ofTokens.map((loss) => -loss)),
    ),
    reference: reference === undefined ? null : examples.map((example) => reference.get(example)!),
  });
  const score = async (): Promise<StepScores> => {
    const losses: Float32Array[] = [];
    for await (const part of pass((batch, firstRow) => work.step.score(batch, parameters, { step, firstRow })))
      losses.push(...part.losses);
    return scoresOf(losses);
  };
  const weighted = async ({ weights, divisor }: StepWeights) => {
    const ofSequences = weights?.flat();
    const losses: Float32Array[] = [];
    const gradient = new Float32Array(parameters.length);
    const parts = pass((batch, firstRow) => {
      const ofBatch = ofSequences?.slice(firstRow, firstRow + batch.lengths.length);
      const weighed = ofBatch === undefined ? batch : { ...batch, weights: joined(ofBatch) };
      return work.step.gradient(weighed, parameters, { step, firstRow });
    });
    for await (const part of parts) {
      losses.push(...part.losses);
      for (let i = 0; i < gradient.length; i++) gradient[i] = gradient[i]! + part.gradient![i]! / divisor;
    }
    return { losses, gradient };
  };

  if (objective.passes === 1) {
    const { losses, gradient } = await weighted(objective.weigh(examples));
    return { ...objective.judge(scoresOf(losses)), gradient };
  }
  const judged = objective.judge(await score());
  const { gradient } = await weighted(judged);
  return { loss: judged.loss, measures: judged.measures, gradient };
}

/** Returns the error for a number of step `step` (from 0) that is not finite. */
export function notFinite(what: string, step: number, examples: readonly Example[]): Problem {
  return new Problem(
    'loss-not-finite',
    `Step ${step + 1}: the ${what} is not a finite number. Rows: ${placesOf(examples)}.`,
    'Lower the learning rate or look at these rows; in the first step the model or the adapter may be damaged. Checkpoints are kept.',
  );
}

/** Groups the values of the sequences by example; `ofSequences` is in the order of the examples and their sequences. */
function byExample(examples: readonly Example[], ofSequences: readonly Float32Array[]): ByToken {
  let next = 0;
  return examples.map(({ sequences }) => ofSequences.slice(next, (next += sequences.length)));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}
