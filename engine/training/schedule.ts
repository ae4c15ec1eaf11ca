import type { Recipe } from '../recipe.ts';

type ScheduleRecipe = Pick<Recipe, 'learningRate' | 'schedule' | 'warmupSteps' | 'warmupRatio'>;

/**
 * Returns the number of warm-up steps in a run of `steps`: `warmupRatio` of them where that is set, otherwise `warmupSteps`.
 */
export function warmupOf({ warmupRatio, warmupSteps }: Pick<Recipe, 'warmupSteps' | 'warmupRatio'>, steps: number): number {
  // A share is rounded up, as transformers does.
  return warmupRatio > 0 ? Math.ceil(warmupRatio * steps) : warmupSteps;
}

/**
 * Returns the learning rate of step `index` (from 0) of `steps`. It rises linearly from 0 over the warm-up, then stays, falls
 * linearly to 0, or falls along half a cosine, as transformers' get_constant/linear/cosine_schedule_with_warmup do.
 */
export function learningRate(recipe: ScheduleRecipe, index: number, steps: number): number {
  const warmup = warmupOf(recipe, steps);
  if (index < warmup) return recipe.learningRate * (index / warmup);
  switch (recipe.schedule) {
    case 'constant':
      return recipe.learningRate;
    case 'linear':
      return recipe.learningRate * ((steps - index) / (steps - warmup));
    case 'cosine':
      return recipe.learningRate * 0.5 * (1 + Math.cos((Math.PI * (index - warmup)) / (steps - warmup)));
  }
}

/** Returns the learning rates of a whole run, thinned evenly to about `points`; the last step is always among them. */
export function scheduleOf(recipe: ScheduleRecipe, steps: number, points = 400): { step: number; learningRate: number }[] {
  const every = Math.max(1, Math.ceil(steps / points));
  return Array.from({ length: steps }, (_, index) => index)
    .filter((index) => index % every === 0 || index === steps - 1)
    .map((index) => ({ step: index + 1, learningRate: learningRate(recipe, index, steps) }));
}
