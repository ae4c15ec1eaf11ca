/** What a run would look like, and what an export would weigh, before either is started. */
import { freemem } from 'node:os';
import type { AdapterVersion, DataReport, Dataset, ExportChoice, Model, RunPlan, TargetPlan } from '../contract.ts';
import { exportChoices as choicesOf } from '../export/index.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { checkRecipe, type Recipe, type RecipeInput } from '../recipe.ts';
import type { Store } from '../store/open.ts';
import { totalSteps } from '../training/batches.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { plannedShape } from '../training/lora/initial.ts';
import { planTargets } from '../training/lora/target-plan.ts';
import { planAdapter, planMemory } from '../training/memory.ts';
import { baseOf, modelAt } from './library.ts';
import type { LongLived } from './long-lived.ts';

export async function planForRun(
  model: Model,
  dataset: Dataset,
  input: RecipeInput,
  { longLived, store }: { readonly longLived: LongLived; readonly store: Store },
): Promise<RunPlan> {
  const recipe = requireRecipe(input);
  const adapter = planAdapter(model.linears, plannedShape(recipe, openModel(model.path, model.acceptFields)));
  const report = await longLived.report(modelAt(store, model), dataset.trainPaths, [], recipe.maxLength);
  const steps = totalSteps(recipe, dataset.trainRows);
  const rate = store.metrics.rateOf(model.path);
  return {
    ...adapter,
    totalParameters: model.parameters,
    totalSteps: steps,
    memory: planMemory(model, recipe, adapter.trainableParameters, Math.min(report.longest, recipe.maxLength)),
    memoryFree: freemem(),
    time: rate && { seconds: tokensOfRun(recipe, steps, dataset, report) / rate.tokensPerSecond, ...rate },
  };
}

/** What a recipe would adapt of a model. */
export function targetsFor(model: Model, input: RecipeInput): TargetPlan {
  return planTargets(requireRecipe(input), openModel(model.path, model.acceptFields).spec);
}

function requireRecipe(input: RecipeInput): Recipe {
  const checked = checkRecipe(input);
  if ('recipe' in checked) return checked.recipe;
  throw new Problem('recipe-invalid', checked.errors.map(({ message }) => message).join(' '), 'Correct these fields.');
}

/** A token that is only evaluated costs about a third of a trained one: it goes forward once, and not again and backward. */
const costOfEvaluation = 1 / 3;

/** Tokens that a run takes through the model, those of its evaluations at what they cost. */
function tokensOfRun(recipe: Recipe, steps: number, { evalRows }: Dataset, { lengths, rows }: DataReport): number {
  const halfBucket = (lengths[0]?.upTo ?? 0) / 2;
  const tokens = lengths.reduce((sum, { upTo, rows }) => sum + rows * Math.min(upTo - halfBucket, recipe.maxLength), 0);
  // One evaluation before the first step, one after the last, and those between.
  const evaluations = recipe.evalEvery === 0 ? 1 : 2 + Math.floor((steps - 1) / recipe.evalEvery);
  const trained = steps * recipe.batchSize * recipe.gradientAccumulation;
  return (tokens / Math.max(1, rows)) * (trained + evaluations * evalRows * costOfEvaluation);
}

/** The exports of an adapter with their sizes. */
export function exportChoices(adapter: AdapterVersion, store: Store): readonly ExportChoice[] {
  const { modelPath, acceptFields } = baseOf(store, adapter);
  const model = openModel(modelPath, acceptFields);
  return choicesOf(model, readAdapter(adapter.path, model.spec).shape);
}
