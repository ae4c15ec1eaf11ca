/** Adds adapters to the matrices of their base, row by row in float64: the rows of s B A, DoRA's lengths, and the sum. */
import { storedName, type DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { tensorView, type Adapter, type AdaptedModule } from './adapter.ts';
import type { TargetModule } from './targets.ts';

export interface WeightedAdapter {
  readonly adapter: Adapter;
  readonly weight: number;
}

/** Reads the base matrix of a module as float32, row-major, in the layout of the model. */
export function moduleWeight(weights: Pick<ModelWeights, 'read'>, spec: DecoderSpec, { path }: TargetModule): Float32Array {
  return weights.read(storedName(spec, `${path}.weight`));
}

/**
 * Returns a function that fills `row` with row `index` of s B A in the layout of the stored matrix, where a row belongs to an
 * output, or in an embedding to a token. Every element is summed in the order of the ranks, four ranks at a time, because a row
 * is then read and written a quarter as often.
 */
function deltaRows(module: AdaptedModule, parameters: Float32Array): (index: number, row: Float64Array) => void {
  const { kind, rank, scale } = module;
  const [rows, width] = storedSize(module);
  const a = tensorView(parameters, module.a);
  const b = tensorView(parameters, module.b);
  const left = kind === 'linear' ? b : transposed(a, rank, rows);
  const right = kind === 'linear' ? a : transposed(b, width, rank);
  return (index, row) => {
    const factor = (k: number): number => left[index * rank + k]! * scale;
    row.fill(0);
    let k = 0;
    for (; k + 4 <= rank; k += 4) {
      const [f0, f1, f2, f3] = [factor(k), factor(k + 1), factor(k + 2), factor(k + 3)];
      const [from0, from1, from2, from3] = [k * width, (k + 1) * width, (k + 2) * width, (k + 3) * width];
      for (let i = 0; i < width; i++)
        row[i] = row[i]! + f0 * right[from0 + i]! + f1 * right[from1 + i]! + f2 * right[from2 + i]! + f3 * right[from3 + i]!;
    }
    for (; k < rank; k++) {
      const [f, from] = [factor(k), k * width];
      for (let i = 0; i < width; i++) row[i]! += f * right[from + i]!;
    }
  };
}

/** Transposes `[rows, columns]` to `[columns, rows]`. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[column * rows + row] = values[row * columns + column]!;
  return turned;
}

/** Returns the number of rows of a matrix as it is stored, and their width. */
function storedSize({ kind, inFeatures, outFeatures }: TargetModule): [rows: number, width: number] {
  return kind === 'linear' ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
}

/**
 * Computes the length of the weights of each output, `[out]`, of W, or of W + s B A when `parameters` are given. The outputs of
 * an embedding are its columns.
 */
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
  const fill = parameters && deltaRows(target as AdaptedModule, parameters);
  for (let index = 0; index < rows; index++) {
    fill?.(index, row);
    for (let i = 0; i < width; i++)
      squares[target.kind === 'linear' ? index : i]! += (weight[index * width + i]! + row[i]!) ** 2;
  }
  return squares.map(Math.sqrt);
}

/** Computes DoRA's factors of the outputs `[out]`, magnitude / length of W + s B A, or null without a magnitude. */
export function doraScale(weight: Float32Array, module: AdaptedModule, parameters: Float32Array): Float64Array | null {
  if (module.magnitude === null) return null;
  const magnitude = tensorView(parameters, module.magnitude);
  return rowLengths(weight, module, parameters).map((length, i) => magnitude[i]! / length);
}

/**
 * Adds to `weight` in place the weighted sum of the changes that each adapter alone would make; every element is rounded once.
 */
export function addDeltas(weight: Float32Array, path: string, adapters: readonly WeightedAdapter[]): void {
  const parts = adapters.flatMap(({ adapter: { shape, parameters }, weight: share }) => {
    const module = shape.modules.find((candidate) => candidate.path === path);
    if (module === undefined) return [];
    return [{ module, share, fill: deltaRows(module, parameters), scale: doraScale(weight, module, parameters) }];
  });
  const [first] = parts;
  if (first === undefined) return;
  const [rows, width] = storedSize(first.module);
  const row = new Float64Array(width);
  const sum = new Float64Array(width);
  for (let index = 0; index < rows; index++) {
    const own = weight.subarray(index * width, (index + 1) * width);
    sum.set(own);
    for (const { module, fill, share, scale } of parts) {
      fill(index, row);
      if (scale !== null && module.kind === 'embedding')
        for (let i = 0; i < width; i++) sum[i]! += share * (scale[i]! * (own[i]! + row[i]!) - own[i]!);
      else {
        const factor = scale === null ? 1 : scale[index]!;
        for (let i = 0; i < width; i++) sum[i]! += share * (factor * (own[i]! + row[i]!) - own[i]!);
      }
    }
    own.set(sum);
  }
}

/** Moves `values` in place from those of the base towards those that the adapters trained, by the weight of each adapter. */
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
