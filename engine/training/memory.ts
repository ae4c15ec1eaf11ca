/** How many parameters a recipe trains and how much memory that takes, known before anything is read. */
import type { LinearInfo, ModelInfo, RunPlan } from '../contract.ts';
import type { Recipe } from '../recipe.ts';
import type { AdapterShape } from './lora/adapter.ts';

/**
 * Trained parameters of each linear layer, over all chosen blocks, and in all, with what lies outside of the blocks. A layer of
 * [out, in] gets B [out, r] and A [r, in]: r (in + out) numbers instead of in x out.
 */
export function planAdapter(
  linears: readonly LinearInfo[],
  { modules, length }: AdapterShape,
): Pick<RunPlan, 'trainableParameters' | 'matrices' | 'perLinear'> {
  const perLinear = linears.map((linear) => {
    const [before, after] = linear.path.split('{layer}') as [string, string];
    const own = modules.filter(({ path }) => path.startsWith(before) && path.endsWith(after));
    const parameters = own.reduce((sum, { rank, inFeatures, outFeatures, magnitude }) => {
      return sum + rank * (inFeatures + outFeatures) + (magnitude === null ? 0 : outFeatures);
    }, 0);
    return { ...linear, chosen: own.length > 0, parameters };
  });
  return { perLinear, trainableParameters: length, matrices: modules.length };
}

const bytesPerNumber = 4;
/** Copies of an adapter's size: parameters, two moments, the gradient of the step, that of a micro-batch, and the graph's own. */
const adapterCopies = 6;
/** Rows of logits that are alive at once (step.ts), each with its gradient. */
const headRows = 128;
/** Head size of nearly every model; only how many maps of attention scores there are depends on it. */
const usualHeadDim = 64;

/**
 * Bytes while training on `batchSize` rows of `longest` tokens:
 * - base: every weight as float32;
 * - adapter: 6 x 4 bytes per trained parameter;
 * - activations: what a block keeps for its backward - inputs and outputs of its linear layers, twice the outputs of the wide ones, two
 *   maps of attention scores - once per block, or with recomputation for one block with its gradients, and a hidden state per block;
 * - logits: 128 rows of the vocabulary with their gradients.
 */
export function planMemory(
  model: Pick<ModelInfo, 'parameters' | 'layers' | 'hiddenSize' | 'vocabularySize' | 'linears'>,
  recipe: Pick<Recipe, 'batchSize' | 'recompute'>,
  trainableParameters: number,
  longest: number,
): RunPlan['memory'] {
  const tokens = recipe.batchSize * longest;
  const queryWidth = model.linears.find(({ name }) => name === 'q_proj')?.outFeatures ?? model.hiddenSize;
  const scores = 2 * (queryWidth / usualHeadDim) * longest;
  const perToken = scores + model.linears.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures + 2 * outFeatures, 0);
  const numbers = recipe.recompute
    ? tokens * (model.layers * model.hiddenSize + 2 * perToken)
    : tokens * (model.layers * perToken + perToken);
  return {
    base: model.parameters * bytesPerNumber,
    adapter: trainableParameters * bytesPerNumber * adapterCopies,
    activations: Math.round(numbers * bytesPerNumber),
    logits: Math.min(headRows, tokens) * model.vocabularySize * bytesPerNumber * 2,
  };
}
