/** What a run would look like, and what an export would weigh, before either is started. */
import { freemem } from 'node:os';
import { join } from 'node:path';
import type { AdapterVersion, Dataset, ExportChoice, Model, RunPlan } from '../contract.ts';
import { exportChoices as choicesOf } from '../export/index.ts';
import { readText } from '../formats/files.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { checkRecipe, type Recipe, type RecipeInput } from '../recipe.ts';
import { totalSteps } from '../training/batches.ts';
import { adapterShape, parseAdapterConfig } from '../training/lora.ts';
import type { LongLived } from './long-lived.ts';

export async function planForRun(model: Model, dataset: Dataset, input: RecipeInput, longLived: LongLived): Promise<RunPlan> {
  const checked = checkRecipe(input);
  if ('errors' in checked)
    throw new Problem('recipe-invalid', checked.errors.map(({ message }) => message).join(' '), 'Correct these fields.');
  const { recipe } = checked;
  const { targetModules, layers } = recipe;
  const blocks = layers === 'all' ? model.layers : layers.filter((layer) => layer < model.layers).length;
  const perLinear = model.linears.map((linear) => {
    const chosen =
      targetModules === 'all-linear' || targetModules.some((name) => linear.name === name || linear.path.endsWith(`.${name}`));
    const parameters = chosen ? blocks * recipe.rank * (linear.inFeatures + linear.outFeatures) : 0;
    return { ...linear, parameters, chosen };
  });
  const trainableParameters = perLinear.reduce((sum, { parameters }) => sum + parameters, 0);
  const { longest } = await longLived.report(model.path, dataset.trainPaths, [], recipe.maxLength);
  return {
    trainableParameters,
    totalParameters: model.parameters,
    matrices: perLinear.filter(({ chosen }) => chosen).length * blocks * 2,
    perLinear,
    totalSteps: totalSteps(recipe, dataset.trainRows),
    memory: planMemory(model, recipe, trainableParameters, Math.min(longest, recipe.maxLength)),
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

/** Rows the output head takes at once, for which logits and their gradient are held. */
const headRows = 256;

/**
 * Bytes a training step holds. Weights are float32. Of the activations the input of every block is kept, [batch, time, hidden], and
 * while a block is computed again its own: about 10 values of the hidden size, 4 of the intermediate size and two attention maps
 * per token; without recomputation those of all blocks are kept.
 */
function planMemory(model: Model, recipe: Recipe, trainableParameters: number, time: number): RunPlan['memory'] {
  const tokens = recipe.batchSize * time;
  const { spec } = openModel(model.path);
  const perBlock = tokens * (10 * spec.hiddenSize + 4 * spec.intermediateSize + 2 * spec.heads * time);
  const kept = spec.layers * tokens * spec.hiddenSize;
  return {
    base: 4 * model.parameters,
    // Values, gradient and Adam's two moments.
    adapter: 4 * 4 * trainableParameters,
    activations: 4 * (kept + perBlock * (recipe.recompute ? 2 : spec.layers)),
    logits: 4 * 2 * Math.min(headRows, tokens) * spec.vocabularySize,
  };
}
