/** Changes a recipe so that it fits into a budget of memory. */
import type { FitChange, FittedRecipe } from '../contract.ts';
import type { Recipe } from '../recipe.ts';

/** Describes the model and the rows, on which the cost of a change depends. */
export interface FitSubject {
  readonly layers: number;
  readonly longest: number;
  /** Returns the share of all tokens, from 0 to 1, that a maximum length of `length` tokens would cut off. */
  tokensBehind(length: number): number;
}

/** Values below these limits would save nothing more, or leave too little to learn from. */
const fewestHeadRows = 32;
const shortestLength = 128;
/** Recomputation is tried in this many steps, from few blocks to all. */
const recomputeSteps = 6;

/**
 * Changes a recipe until it takes no more than `budget` bytes. In this order it tries smaller batches with more gradient
 * accumulation, fewer rows of logits at once, gradient checkpointing of more and more blocks, shorter rows, and a base in fewer
 * bits. `bytesOf` estimates the bytes that a recipe takes for rows of a length in tokens.
 */
export async function fitRecipe(
  recipe: Recipe,
  { layers, longest, tokensBehind }: FitSubject,
  budget: number,
  bytesOf: (recipe: Recipe, longest: number) => Promise<number>,
): Promise<Omit<FittedRecipe, 'fits'>> {
  const lengthOf = ({ maxLength }: Recipe) => Math.min(longest, maxLength);
  let fitted = recipe;
  let bytes = await bytesOf(fitted, lengthOf(fitted));
  const changes = new Map<string, FitChange>();
  /** Tries one change and keeps it if it saves memory. */
  const attempt = async (changed: Partial<Recipe>, cost: string): Promise<void> => {
    if (bytes <= budget) return;
    const next = { ...fitted, ...changed };
    const needed = await bytesOf(next, lengthOf(next));
    if (needed >= bytes) return;
    for (const [key, to] of Object.entries(changed) as [keyof Recipe, number | string][]) {
      const from = recipe[key] as number | string;
      if (from !== to) changes.set(key, { key, from, to, cost, bytes: needed });
    }
    [fitted, bytes] = [next, needed];
  };

  const rowsOfStep = recipe.batchSize * recipe.gradientAccumulation;
  for (let batchSize = recipe.batchSize - 1; batchSize >= 1; batchSize--)
    if (rowsOfStep % batchSize === 0)
      await attempt({ batchSize, gradientAccumulation: rowsOfStep / batchSize }, costOfBatch(batchSize * lengthOf(fitted)));
  for (let headRows = recipe.headRows >> 1; headRows >= fewestHeadRows; headRows >>= 1)
    await attempt({ headRows }, 'Hardly slower: the output head is computed in more pieces.');
  for (let step = 1; step <= recomputeSteps; step++) {
    const recompute = Math.ceil((layers * step) / recomputeSteps);
    const slower = Math.round((33 * recompute) / layers);
    if (recompute > fitted.recompute)
      await attempt({ recompute }, `About ${slower} % slower: ${recompute} of ${layers} blocks are computed twice.`);
  }
  for (let maxLength = lengthOf(fitted) >> 1; maxLength >= shortestLength; maxLength >>= 1) {
    const lost = (100 * tokensBehind(maxLength)).toFixed(0);
    await attempt({ maxLength }, `No slower, but longer rows are cut: ${lost} % of the tokens are not learned from.`);
  }
  if (recipe.method !== 'full' && recipe.baseQuantization === 'none')
    for (const bits of [8, 4] as const)
      await attempt(
        { baseQuantization: `${bits}bit` },
        `About 10 % slower, and the base is rounded to ${bits} bits: the adapter learns on what is left of it.`,
      );
  return { recipe: fitted, bytes, changes: [...changes.values()] };
}

/**
 * Describes the cost of a batch of this many tokens: a matrix product of some hundred rows is as fast per row as a larger one.
 */
function costOfBatch(tokens: number): string {
  return tokens >= 256
    ? 'Hardly slower: the same step, made of more and smaller batches.'
    : 'Slower, because the batches become very small; the step stays the same.';
}
