/**
 * Defines an objective, which turns the log probabilities of the tokens of a step into its loss and the weight of each token.
 */
import type { Example } from '../examples.ts';

/**
 * Holds one number for each supervised token of each sequence of each example, in their order: `[example][sequence][token]`.
 * The first token of a sequence is not among them, because nothing predicts it.
 */
export type ByToken = readonly (readonly Float32Array[])[];

/** Holds the log probabilities, in nats, that the trained model and the reference model give to the tokens of a step. */
export interface StepScores {
  readonly examples: readonly Example[];
  readonly policy: ByToken;
  /**
   * Holds the log probabilities of the base without the adapter, computed before the run, or null for an objective that needs
   * none.
   */
  readonly reference: ByToken | null;
}

/** Holds the loss of a step and the other measures of it, by name. */
export interface StepLoss {
  readonly loss: number;
  readonly measures: Readonly<Record<string, number>>;
}

/**
 * Holds the weight of each token: the gradient of a step is Σ weight · ∇(-log p) / divisor over its tokens. A weight divided by
 * the divisor is the derivative of the loss by -log p of its token, and it is negative where the token should become less
 * likely.
 */
export interface StepWeights {
  /** Holds the weights of the tokens; null stands for 1 each. */
  readonly weights: ByToken | null;
  readonly divisor: number;
}

/**
 * Defines the loss that a run minimizes. An objective whose weights depend on the examples alone costs one pass through the
 * model per step. An objective whose weights depend on log probabilities costs a second pass before it, with the same dropout
 * and noise.
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
