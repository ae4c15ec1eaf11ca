/** Computes the first values of a new adapter. Every value depends only on the seed, the tensor's name and its index. */
import { storedName, type DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { fillNormal, fillUniform } from '../random.ts';
import type { Recipe } from '../recipe.ts';
import { adapterShape, tensorView, type AdaptedModule, type Adapter, type AdapterShape } from './adapter.ts';
import { adapterConfig, type AdapterConfig, type AdapterRecipe } from './config.ts';
import { moduleWeight, rowLengths } from './delta.ts';
import { checkTargets } from './targets.ts';

export type NewAdapterRecipe = AdapterRecipe & Pick<Recipe, 'seed' | 'initialization'>;

/** Lists the families whose files keep matrices transposed (transformers' Conv1D). */
const transposedFamilies: readonly string[] = ['gpt2'];

/** Returns the shape of the adapter that a recipe trains on a model. */
export function plannedShape(recipe: AdapterRecipe, { spec }: { readonly spec: DecoderSpec }): AdapterShape {
  const config = newConfig(recipe, spec, null);
  checkTargets(config, spec);
  return adapterShape(config, spec);
}

export function newConfig(recipe: AdapterRecipe, { family }: DecoderSpec, base: string | null): AdapterConfig {
  return adapterConfig(recipe, { fanInFanOut: transposedFamilies.includes(family), base });
}

/**
 * Returns a new adapter that leaves the base as it is: one factor of each pair is 0, magnitudes are the row lengths of the
 * base, and tensors trained whole are copies of the base's.
 */
export function newAdapter(
  recipe: NewAdapterRecipe,
  { spec, weights }: { readonly spec: DecoderSpec; readonly weights: Pick<ModelWeights, 'read'> },
  base: string | null,
): Adapter {
  const config = newConfig(recipe, spec, base);
  checkTargets(config, spec);
  const shape = adapterShape(config, spec);
  const parameters = new Float32Array(shape.length);
  for (const module of shape.modules) {
    fillFactors(parameters, module, recipe);
    if (module.magnitude !== null)
      tensorView(parameters, module.magnitude).set(rowLengths(moduleWeight(weights, spec, module), module));
  }
  for (const { names, tensor } of shape.replaced) tensorView(parameters, tensor).set(weights.read(storedName(spec, names[0]!)));
  return { config, shape, parameters, initial: null };
}

/**
 * Fills the factors as PEFT does: A is Kaiming-uniform with a = sqrt(5), which is uniform within 1 / sqrt(in), and B is 0; for
 * an embedding A is 0 and B is normal.
 */
function fillFactors(
  parameters: Float32Array,
  { kind, rank, inFeatures, a, b }: AdaptedModule,
  recipe: NewAdapterRecipe,
): void {
  if (kind === 'embedding') fillNormal(tensorView(parameters, b), 1, recipe.seed, b.name);
  else if (recipe.initialization === 'gaussian') fillNormal(tensorView(parameters, a), 1 / rank, recipe.seed, a.name);
  else fillUniform(tensorView(parameters, a), 1 / Math.sqrt(inFeatures), recipe.seed, a.name);
}
