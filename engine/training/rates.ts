/**
 * Implements LoRA+ (Hayou et al. 2024), where B learns faster than A. The groups are those of PEFT's create_loraplus_optimizer.
 */
import type { AdapterShape, AdapterTensor } from '../adapters/adapter.ts';
import type { Recipe } from '../recipe.ts';
import type { ParameterGroup } from './optimizer.ts';

/** Divides the parameters into groups by learning rate and weight decay; without LoRA+ there is one group. */
export function parameterGroups(
  shape: AdapterShape,
  recipe: Pick<Recipe, 'learningRate' | 'loraplusLrRatio' | 'loraplusLrEmbedding'>,
): ParameterGroup[] {
  const { learningRate, loraplusLrRatio, loraplusLrEmbedding } = recipe;
  if (loraplusLrRatio === 1) return [{ start: 0, end: shape.length, rateFactor: 1, decays: true }];
  // This applies to its factors; the magnitude of DoRA is one number per output, as everywhere.
  const ofEmbedding = new Set<AdapterTensor>(shape.modules.flatMap(({ kind, a, b }) => (kind === 'embedding' ? [a, b] : [])));
  const ofB = new Set(shape.modules.map(({ b }) => b));
  return shape.tensors.map((tensor, i) => {
    const isFast = ofB.has(tensor) || tensor.shape.length === 1;
    const rateFactor = ofEmbedding.has(tensor)
      ? learningRate === 0
        ? 0
        : loraplusLrEmbedding / learningRate
      : isFast
        ? loraplusLrRatio
        : 1;
    const isMagnitude = shape.modules.some(({ magnitude }) => magnitude === tensor);
    // Weight decay does not apply to biases and norms.
    const decays = ofEmbedding.has(tensor) || tensor.shape.length > 1 || isMagnitude;
    return { start: tensor.offset, end: shape.tensors[i + 1]?.offset ?? shape.length, rateFactor, decays };
  });
}
