/** Finds and plans the two runs that compare LoRA with training every weight: all but the method and the learning rate is equal. */
import type { Run } from '../../../engine/contract.ts';
import { defaultRecipe, type Recipe } from '../../../engine/recipe.ts';
import { recipeKeys } from '../../../engine/recipe/fields.ts';
import { fullLearningRate } from '../new-run/methods.ts';

export interface Pair {
  readonly lora: Run;
  readonly full: Run;
}

const mayDiffer = ['method', 'learningRate'];

/** Identifies all that two runs of a pair have in common. */
function commonOf({ modelPath, versionId, recipe }: Run): string {
  return JSON.stringify([
    modelPath,
    versionId,
    ...recipeKeys.filter((key) => !mayDiffer.includes(key)).map((key) => recipe[key]),
  ]);
}

/**
 * Returns the newest two runs of a model that compare, or null where there are none. Those with a run of `runId` come first.
 * `runs` are the newest first.
 */
export function findPair(runs: readonly Run[], modelPath: string, runId: string | null): Pair | null {
  // Files that were named by their paths may have changed from one run to the other.
  const ofModel = runs.filter((run) => run.modelPath === modelPath && run.versionId !== null);
  const pairs = [...Map.groupBy(ofModel, commonOf).values()].flatMap((alike) => {
    const of = (method: Recipe['method']): Run | undefined => {
      const those = alike.filter(({ recipe }) => recipe.method === method);
      return those.find(({ id }) => id === runId) ?? those[0];
    };
    const [lora, full] = [of('lora'), of('full')];
    return lora === undefined || full === undefined ? [] : [{ lora, full }];
  });
  return pairs.find(({ lora, full }) => [lora.id, full.id].includes(runId ?? '')) ?? pairs[0] ?? null;
}

/**
 * Returns the recipes of the two runs: that of the lesson with a few steps, evaluated once at their end. The base is in float32
 * for both, because full training cannot have it otherwise.
 */
export function pairRecipes(recipe: Partial<Recipe>, steps: number): { readonly lora: Recipe; readonly full: Recipe } {
  const given = { ...defaultRecipe(), ...recipe };
  const wasFull = given.method === 'full';
  const lora: Recipe = {
    ...given,
    method: 'lora',
    learningRate: wasFull ? defaultRecipe().learningRate : given.learningRate,
    baseQuantization: 'none',
    initialization: given.initialization === 'loftq' ? 'default' : given.initialization,
    maxSteps: steps,
    warmupSteps: Math.min(given.warmupSteps, Math.floor(steps / 4)),
    evalEvery: 0,
    saveEvery: 0,
  };
  return { lora, full: { ...lora, method: 'full', learningRate: wasFull ? given.learningRate : fullLearningRate } };
}
