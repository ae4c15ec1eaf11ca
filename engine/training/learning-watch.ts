/** Notices a run that learns nothing, from what its first steps measure. */
import type { StepMetrics } from '../contract.ts';

const stepsLookedAt = 20;
/** Two losses are the same if they differ by less than this share. */
const tolerance = 0.01;

export class LearningWatch {
  readonly #guessing: number;
  #losses: number[] = [];

  /** Takes the vocabulary size: a model that knows nothing gives every token the same probability, which is a loss of ln(vocabulary size). */
  constructor(vocabularySize: number) {
    this.#guessing = Math.log(vocabularySize);
  }

  /** Takes what a step measured, in order. Returns a sentence for the log of the run where nothing is learned, otherwise null. */
  step({ step, loss, gradientNorm }: Pick<StepMetrics, 'step' | 'loss' | 'gradientNorm'>): string | null {
    if (this.#losses.length >= stepsLookedAt) return null;
    this.#losses.push(loss);
    if (this.#losses.length === 1 && gradientNorm === 0)
      return `Nothing is learned: the gradient of step ${step} is 0, so no parameter changes. Check that answers are trained and that the adapter's target modules are part of the model.`;
    if (this.#losses.length < stepsLookedAt) return null;
    const isGuess = this.#losses.every((one) => Math.abs(one - this.#guessing) < tolerance * this.#guessing);
    return isGuess
      ? `The model guesses: the loss stayed at ${loss.toFixed(2)} in the first ${stepsLookedAt} steps, which is ln(vocabulary size). Check that the weights and the tokenizer belong together, and the learning rate.`
      : null;
  }
}
