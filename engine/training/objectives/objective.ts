/** What an objective is: from the log probabilities of the tokens of a step to its loss, and to how much each of them counts. */
import type { Example } from '../examples.ts';

/**
 * One array for each supervised token of each sequence of each example, in their order: `[example][sequence][token]`. The token before
 * any other is not among them, because nothing predicts it.
 */
export type ByToken = readonly (readonly Float32Array[])[];

/** The log probabilities, in nats, that the model of the step and that of the reference give to the tokens of a step. */
export interface StepScores {
  readonly examples: readonly Example[];
  readonly policy: ByToken;
  /** Those of the base without the adapter, computed before the run; null for an objective that needs none. */
  readonly reference: ByToken | null;
}

/** The loss of a step, and what else is told of it, by name. */
export interface StepLoss {
  readonly loss: number;
  readonly measures: Readonly<Record<string, number>>;
}

/**
 * How much each token counts: the gradient of a step is Σ weight · ∇(-log p) / divisor over its tokens. A weight is the derivative of the
 * loss by -log p of its token, and negative where the token is to become less likely. The division is of the sum, in float64.
 */
export interface StepWeights {
  /** Null: 1 for each. */
  readonly weights: ByToken | null;
  readonly divisor: number;
}

/**
 * A loss that a run makes smaller. One whose weights follow from the examples alone costs one pass through the model a step; one whose
 * weights follow from log probabilities costs another one before, which draws the same dropout and noise.
 */
export type Objective =
  | {
      readonly passes: 1;
      readonly weigh: (examples: readonly Example[]) => StepWeights;
      readonly judge: (scores: StepScores) => StepLoss;
    }
  | {
      readonly passes: 2;
      readonly judge: (scores: StepScores) => StepLoss & StepWeights;
    };
