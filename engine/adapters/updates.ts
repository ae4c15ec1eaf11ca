/** Measures what an adapter adds to each matrix: how far it moves it, and in how many directions. */
import type { AdapterUpdates, MatrixUpdate } from '../contract.ts';
import { linearLayers, pathInBlocks, type DecoderSpec } from '../models/spec.ts';
import { tensorView, type AdaptedModule, type Adapter } from './adapter.ts';
import { product, symmetricEigenvalues, transpose, type Matrix } from './decompose.ts';

/** Computes the update s B A of every module from its factors. */
export function adapterUpdates({ shape, parameters }: Adapter, spec: DecoderSpec): AdapterUpdates {
  const places = new Map(linearLayers(spec).map(({ layer, path }) => [path, { layer, path: pathInBlocks(spec, layer, path) }]));
  const having = Map.groupBy(places.values(), ({ path }) => path);
  const found = new Map<string, { readonly layers: readonly number[]; readonly updates: (MatrixUpdate | null)[] }>();
  for (const module of shape.modules) {
    const place = places.get(module.path);
    const path = place?.path ?? module.path;
    const layers = having.get(path)?.map(({ layer }) => layer) ?? [];
    const ofPath = found.get(path) ?? { layers, updates: Array<MatrixUpdate | null>(Math.max(1, layers.length)).fill(null) };
    found.set(path, ofPath);
    ofPath.updates[place === undefined ? 0 : layers.indexOf(place.layer)] = matrixUpdate(module, parameters);
  }
  return {
    layers: spec.blocks.length,
    modules: [...found].map(([path, of]) => ({ name: path.slice(path.lastIndexOf('.') + 1), path, ...of })),
  };
}

function matrixUpdate(module: AdaptedModule, parameters: Float32Array): MatrixUpdate {
  const { outFeatures, inFeatures, rank, scale } = module;
  const values = singularValues(tensorView(parameters, module.b), tensorView(parameters, module.a), rank).map(
    (value) => Math.abs(scale) * value,
  );
  return {
    ...{ outFeatures, inFeatures, rank, scale },
    norm: Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0)),
    // Factors in float32 tell no more digits.
    singularValues: Array.from(values, (value) => Number(value.toPrecision(7))),
    effectiveRank: effectiveRank(values),
  };
}

/**
 * Computes the singular values of B A in descending order, with `a` [rank, in] and `b` [out, rank]. B A is never formed: with
 * A Aᵀ = L Lᵀ their squares are the eigenvalues of Lᵀ Bᵀ B L, a matrix of [rank, rank].
 */
export function singularValues(b: Float32Array, a: Float32Array, rank: number): Float64Array {
  const columns = a.length / rank;
  const left = lowerFactor(gram(rank, columns, (i, k) => i * columns + k, a));
  const middle = product(
    transpose(left),
    product(
      gram(rank, b.length / rank, (i, k) => k * rank + i, b),
      left,
    ),
  );
  // Rounding may leave a little less than nothing.
  return symmetricEigenvalues(middle).map((value) => Math.sqrt(Math.max(0, value)));
}

/** Returns the number of directions that singular values use: the exponential of the entropy of their shares. */
export function effectiveRank(values: Float64Array): number {
  const sum = values.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const entropy = values.reduce((total, value) => (value === 0 ? total : total - (value / sum) * Math.log(value / sum)), 0);
  return Math.exp(entropy);
}

/** Computes the products of `rank` vectors of `length` with each other, where `at` finds element `k` of vector `i`. */
function gram(rank: number, length: number, at: (i: number, k: number) => number, of: Float32Array): Matrix {
  const values = new Float64Array(rank * rank);
  for (let i = 0; i < rank; i++)
    for (let j = i; j < rank; j++) {
      let sum = 0;
      for (let k = 0; k < length; k++) sum += of[at(i, k)]! * of[at(j, k)]!;
      values[i * rank + j] = sum;
      values[j * rank + i] = sum;
    }
  return { rows: rank, columns: rank, values };
}

/** Returns L of a Gram matrix L Lᵀ (Cholesky). A vector that depends on those before it has a column of zeros. */
function lowerFactor({ rows: n, values }: Matrix): Matrix {
  const lower = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    let pivot = values[j * n + j]!;
    for (let k = 0; k < j; k++) pivot -= lower[j * n + k]! ** 2;
    if (pivot <= 1e-15 * values[j * n + j]!) continue;
    const root = Math.sqrt(pivot);
    for (let i = j; i < n; i++) {
      let sum = values[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= lower[i * n + k]! * lower[j * n + k]!;
      lower[i * n + j] = sum / root;
    }
  }
  return { rows: n, columns: n, values: lower };
}
