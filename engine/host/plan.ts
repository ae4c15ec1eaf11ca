/** What a run would look like, and what an export would weigh, before either is started. */
import { freemem } from 'node:os';
import { join } from 'node:path';
import type { AdapterVersion, Dataset, ExportChoice, Model, RunPlan } from '../contract.ts';
import { exportChoices as choicesOf } from '../export/index.ts';
import { readText } from '../formats/files.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { checkRecipe, type RecipeInput } from '../recipe.ts';
import { totalSteps } from '../training/batches.ts';
import { adapterShape, parseAdapterConfig } from '../training/lora.ts';
import { planAdapter, planMemory } from '../training/memory.ts';
import type { LongLived } from './long-lived.ts';

export async function planForRun(model: Model, dataset: Dataset, input: RecipeInput, longLived: LongLived): Promise<RunPlan> {
  const checked = checkRecipe(input);
  if ('errors' in checked)
    throw new Problem('recipe-invalid', checked.errors.map(({ message }) => message).join(' '), 'Correct these fields.');
  const { recipe } = checked;
  const adapter = planAdapter(model.linears, model.layers, recipe);
  const { longest } = await longLived.report(model.path, dataset.trainPaths, [], recipe.maxLength);
  return {
    ...adapter,
    totalParameters: model.parameters,
    totalSteps: totalSteps(recipe, dataset.trainRows),
    memory: planMemory(model, recipe, adapter.trainableParameters, Math.min(longest, recipe.maxLength)),
    memoryFree: freemem(),
    secondsEstimate: null,
  };
}

/** The exports of an adapter with their sizes, from headers alone. */
export function exportChoices(adapter: AdapterVersion): readonly ExportChoice[] {
  const model = openModel(adapter.modelPath);
  const configPath = join(adapter.path, 'adapter_config.json');
  const config = parseAdapterConfig(readText(configPath, 1 << 20), configPath);
  return choicesOf(model, adapterShape(config, model.spec));
}
