/** Measures how far an adapter moves each matrix. */
import type { UpdateNorms } from '../contract.ts';
import { linearLayers, pathInBlocks, type DecoderSpec } from '../models/spec.ts';
import { type Adapter, tensorView } from './adapter.ts';

/**
 * Computes the Frobenius norm of s B A for every module. B A is never formed: with A [r, in] and B [out, r] its square is
 * s² Σᵢⱼ (Bᵀ B)ᵢⱼ (A Aᵀ)ᵢⱼ, two matrices of [r, r].
 */
export function updateNorms({ shape, parameters }: Adapter, spec: DecoderSpec): UpdateNorms {
  const places = new Map(linearLayers(spec).map(({ layer, path }) => [path, { layer, path: pathInBlocks(spec, layer, path) }]));
  const having = Map.groupBy(places.values(), ({ path }) => path);
  const norms = new Map<string, { readonly layers: readonly number[]; readonly norms: (number | null)[] }>();
  for (const module of shape.modules) {
    const place = places.get(module.path);
    const path = place?.path ?? module.path;
    const layers = having.get(path)?.map(({ layer }) => layer) ?? [];
    const ofPath = norms.get(path) ?? { layers, norms: Array<number | null>(Math.max(1, layers.length)).fill(null) };
    norms.set(path, ofPath);
    const a = tensorView(parameters, module.a);
    const b = tensorView(parameters, module.b);
    const at = place === undefined ? 0 : layers.indexOf(place.layer);
    ofPath.norms[at] = module.scale * productNorm(a, b, module.rank);
  }
  const scales = shape.modules.map(({ scale }) => scale);
  return {
    layers: spec.blocks.length,
    scales: scales.length === 0 ? null : { least: Math.min(...scales), most: Math.max(...scales) },
    modules: [...norms].map(([path, of]) => ({ name: path.slice(path.lastIndexOf('.') + 1), path, ...of })),
  };
}

/** Computes the norm of B A, where `a` is [rank, columns] and `b` is [rows, rank]. */
function productNorm(a: Float32Array, b: Float32Array, rank: number): number {
  const columns = a.length / rank;
  let square = 0;
  for (let i = 0; i < rank; i++)
    for (let j = i; j < rank; j++) {
      let ofA = 0;
      for (let k = 0; k < columns; k++) ofA += a[i * columns + k]! * a[j * columns + k]!;
      let ofB = 0;
      for (let k = 0; k < b.length; k += rank) ofB += b[k + i]! * b[k + j]!;
      square += (i === j ? 1 : 2) * ofA * ofB;
    }
  // Rounding may leave a little less than nothing.
  return Math.sqrt(Math.max(0, square));
}
