/** What an adapter does to a matrix of its base, row by row in float64: the rows of s B A, the lengths DoRA scales to, and the sum. */
import { storedName, type DecoderSpec } from '../../models/spec.ts';
import type { ModelWeights } from '../../models/weights.ts';
import { tensorView, type Adapter, type AdaptedModule } from './adapter.ts';
import type { TargetModule } from './targets.ts';

export interface WeightedAdapter {
  readonly adapter: Adapter;
  readonly weight: number;
}

/** The matrix of a module in the base. */
export function moduleWeight(weights: Pick<ModelWeights, 'read'>, spec: DecoderSpec, { path }: TargetModule): Float32Array {
  return weights.read(storedName(spec, `${path}.weight`));
}

/** Fills `row` with row `index` of s B A as the matrix is stored: of an output, or for an embedding of a token. */
function deltaRow(module: AdaptedModule, parameters: Float32Array, index: number, row: Float64Array): void {
  const { kind, rank, scale, inFeatures, outFeatures } = module;
  const a = tensorView(parameters, module.a);
  const b = tensorView(parameters, module.b);
  row.fill(0);
  for (let k = 0; k < rank; k++) {
    if (kind === 'linear') {
      const factor = b[index * rank + k]! * scale;
      const from = k * inFeatures;
      for (let i = 0; i < inFeatures; i++) row[i]! += factor * a[from + i]!;
    } else {
      const factor = a[k * inFeatures + index]! * scale;
      for (let i = 0; i < outFeatures; i++) row[i]! += factor * b[i * rank + k]!;
    }
  }
}

/** Rows of a matrix as it is stored, and their width. */
function storedSize({ kind, inFeatures, outFeatures }: TargetModule): [rows: number, width: number] {
  return kind === 'linear' ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
}

/** Length of the row of each output of W, or of W + s B A with `parameters`; an embedding has its outputs side by side. */
export function rowLengths(weight: Float32Array, target: TargetModule): Float64Array;
export function rowLengths(weight: Float32Array, target: AdaptedModule, parameters: Float32Array): Float64Array;
export function rowLengths(
  weight: Float32Array,
  target: TargetModule | AdaptedModule,
  parameters?: Float32Array,
): Float64Array {
  const [rows, width] = storedSize(target);
  const squares = new Float64Array(target.outFeatures);
  const row = new Float64Array(width);
  for (let index = 0; index < rows; index++) {
    if (parameters !== undefined) deltaRow(target as AdaptedModule, parameters, index, row);
    for (let i = 0; i < width; i++)
      squares[target.kind === 'linear' ? index : i]! += (weight[index * width + i]! + row[i]!) ** 2;
  }
  return squares.map(Math.sqrt);
}

/** DoRA's factors of the outputs, magnitude / length of W + s B A; null without a magnitude. */
export function doraScale(weight: Float32Array, module: AdaptedModule, parameters: Float32Array): Float64Array | null {
  if (module.magnitude === null) return null;
  const magnitude = tensorView(parameters, module.magnitude);
  return rowLengths(weight, module, parameters).map((length, i) => magnitude[i]! / length);
}

/** Adds to `weight` in place what the adapters make of it, each weighted and on its own; every element is rounded once. */
export function addDeltas(weight: Float32Array, path: string, adapters: readonly WeightedAdapter[]): void {
  const parts = adapters.flatMap(({ adapter: { shape, parameters }, weight: share }) => {
    const module = shape.modules.find((candidate) => candidate.path === path);
    return module === undefined ? [] : [{ module, parameters, share, scale: doraScale(weight, module, parameters) }];
  });
  const [first] = parts;
  if (first === undefined) return;
  const [rows, width] = storedSize(first.module);
  const row = new Float64Array(width);
  const sum = new Float64Array(width);
  for (let index = 0; index < rows; index++) {
    const own = weight.subarray(index * width, (index + 1) * width);
    sum.set(own);
    for (const { module, parameters, share, scale } of parts) {
      deltaRow(module, parameters, index, row);
      for (let i = 0; i < width; i++) {
        const factor = scale === null ? 1 : scale[module.kind === 'linear' ? index : i]!;
        sum[i]! += share * (factor * (own[i]! + row[i]!) - own[i]!);
      }
    }
    own.set(sum);
  }
}

/** Moves `values` in place from the base towards what the adapters trained in its place. */
export function addReplacements(values: Float32Array, name: string, adapters: readonly WeightedAdapter[]): void {
  const parts = adapters.flatMap(({ adapter: { shape, parameters }, weight }) => {
    const found = shape.replaced.find(({ names }) => names.includes(name));
    return found === undefined ? [] : [{ trained: tensorView(parameters, found.tensor), weight }];
  });
  if (parts.length === 0) return;
  for (let i = 0; i < values.length; i++) {
    const own = values[i]!;
    values[i] = parts.reduce((sum, { trained, weight }) => sum + weight * (trained[i]! - own), own);
  }
}
