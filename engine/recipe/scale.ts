/** Computes by how much a recipe scales its adapters. */
import type { Recipe } from '../recipe.ts';

/** Returns the factor s by which B A is multiplied: alpha / r, or alpha / √r with rsLoRA. */
export function scaleOf({ rank, alpha, rslora }: Pick<Recipe, 'rank' | 'alpha' | 'rslora'>): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/**
 * Returns the scales of a recipe: `usual` is that of a module no pattern matches, and `least` and `most` are the extremes over
 * it and the names in the patterns. Only the model can tell which modules there are, and which match two names.
 */
export function scaleRange({ rankPattern, alphaPattern, ...recipe }: ScaledRecipe): {
  readonly usual: number;
  readonly least: number;
  readonly most: number;
} {
  const names = [...new Set([...Object.keys(rankPattern), ...Object.keys(alphaPattern)])];
  const usual = scaleOf(recipe);
  const all = names.map((name) =>
    scaleOf({ ...recipe, rank: rankPattern[name] ?? recipe.rank, alpha: alphaPattern[name] ?? recipe.alpha }),
  );
  return { usual, least: Math.min(usual, ...all), most: Math.max(usual, ...all) };
}
export type ScaledRecipe = Pick<Recipe, 'rank' | 'alpha' | 'rslora' | 'rankPattern' | 'alphaPattern'>;
