/** Decides which examples each step takes, and how many steps a run has. */
import { permutation } from '../random.ts';
import type { Recipe } from '../recipe.ts';
import type { Example } from './examples.ts';

type StepRecipe = Pick<Recipe, 'batchSize' | 'gradientAccumulation'>;
type LengthRecipe = Pick<Recipe, 'maxSteps' | 'epochs'> & StepRecipe;
type OrderRecipe = Pick<Recipe, 'shuffle' | 'seed'> & StepRecipe;

/** Counts the examples of a full step. */
export function examplesPerStep({ batchSize, gradientAccumulation }: StepRecipe): number {
  return batchSize * gradientAccumulation;
}

/**
 * Counts the examples that all steps of a run take together, from a data set of `examples`: `maxSteps` full steps where that is
 * set, otherwise as many epochs as the recipe says.
 */
export function totalExamples(recipe: LengthRecipe, examples: number): number {
  if (recipe.maxSteps > 0) return recipe.maxSteps * examplesPerStep(recipe);
  // The small offset keeps rounding from turning 0.1 x 30 examples into four.
  return Math.max(1, Math.ceil(recipe.epochs * examples - 1e-9));
}

/** Counts the optimizer steps of a run; the last one may take fewer examples. */
export function totalSteps(recipe: LengthRecipe, examples: number): number {
  return Math.ceil(totalExamples(recipe, examples) / examplesPerStep(recipe));
}

/**
 * Orders all examples through all epochs. The example at a position depends only on the seed, so a resumed run needs no cursor.
 */
export class ExampleOrder<T = Example> {
  readonly #examples: ArrayLike<T>;
  readonly #recipe: OrderRecipe;
  readonly #total: number;
  #epoch = -1;
  #order: Int32Array = new Int32Array(0);

  /** `total` is the number of examples after which the run ends. */
  constructor(examples: ArrayLike<T>, recipe: OrderRecipe, total = Number.POSITIVE_INFINITY) {
    this.#examples = examples;
    this.#recipe = recipe;
    this.#total = total;
  }

  /** Returns the number of epochs after `steps` steps, with its fraction. */
  epochsAfter(steps: number): number {
    return Math.min(steps * examplesPerStep(this.#recipe), this.#total) / this.#examples.length;
  }

  /** Returns the examples of step `step`, counted from 0. */
  examplesOf(step: number): T[] {
    const first = step * examplesPerStep(this.#recipe);
    const count = Math.min(examplesPerStep(this.#recipe), this.#total - first);
    return Array.from({ length: count }, (_, i) => this.#exampleAt(first + i));
  }

  /** Returns the step of the first epoch that takes an example, counted from 0; null where none does. */
  stepOf(example: T): number | null {
    const positions = Math.min(this.#total, this.#examples.length);
    for (let position = 0; position < positions; position++)
      if (this.#exampleAt(position) === example) return Math.floor(position / examplesPerStep(this.#recipe));
    return null;
  }

  #exampleAt(position: number): T {
    const epoch = Math.floor(position / this.#examples.length);
    if (this.#recipe.shuffle && epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#order = permutation(this.#examples.length, this.#recipe.seed, epoch);
    }
    const place = position % this.#examples.length;
    return this.#examples[this.#recipe.shuffle ? this.#order[place]! : place]!;
  }
}
