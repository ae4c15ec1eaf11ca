/** The merged weights W' = W + sum of weight * s * B A, tensor by tensor, so that never more than one tensor is in memory. */
import type { OpenModel } from '../models/open.ts';
import type { ModelWeights } from '../models/weights.ts';
import { tensorView, type Adapter } from '../training/lora.ts';

export interface WeightedAdapter {
  readonly adapter: Adapter;
  readonly weight: number;
}
export type MergedWeights = Pick<ModelWeights, 'names' | 'shape' | 'read'>;

export function mergeWeights(model: OpenModel, adapters: readonly WeightedAdapter[]): MergedWeights {
  const { weights } = model;
  return {
    names: weights.names,
    shape: (name) => weights.shape(name),
    read: (name) => {
      const values = weights.read(name);
      if (name.endsWith('.weight')) for (const adapter of adapters) addDelta(values, name.slice(0, -'.weight'.length), adapter);
      return values;
    },
  };
}

/** Adds s B A to the matrix of module `path`: every element is summed in float64 and rounded once. */
function addDelta(values: Float32Array, path: string, { adapter, weight }: WeightedAdapter): void {
  const ofModule = adapter.shape.tensors.filter((tensor) => tensor.path === path);
  const a = ofModule.find(({ part }) => part === 'A');
  const b = ofModule.find(({ part }) => part === 'B');
  if (!a || !b) return;
  const [rank, inFeatures] = a.shape;
  const A = tensorView(adapter.parameters, a);
  const B = tensorView(adapter.parameters, b);
  const row = new Float64Array(inFeatures);
  for (let out = 0; out < b.shape[0]; out++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = B[out * rank + k]! * b.scale * weight;
      const from = k * inFeatures;
      for (let i = 0; i < inFeatures; i++) row[i]! += factor * A[from + i]!;
    }
    const from = out * inFeatures;
    for (let i = 0; i < inFeatures; i++) values[from + i]! += row[i]!;
  }
}
