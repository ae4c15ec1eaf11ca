/** Implements LoftQ (Li et al. 2023): on a quantized base the factors begin with the error of quantization. */
import type { DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { streamOf } from '../random.ts';
import { tensorView, type Adapter } from './adapter.ts';
import { largestSingular, product, transpose, type Matrix } from './decompose.ts';
import { moduleWeight } from './delta.ts';

export interface LoftqStart {
  /** Holds the quantized matrix as dequantized, `[out, in]`. */
  readonly base: Float64Array;
  /** Holds the factor A, `[r, in]`. */
  readonly a: Float64Array;
  /** Holds the factor B, `[out, r]`. */
  readonly b: Float64Array;
}

export interface LoftqOptions {
  readonly rank: number;
  readonly scale: number;
  readonly rounds: number;
  readonly seed: number;
  /** Gives the number of rounds of the decomposition. If it is left out, it continues until it is exact. */
  readonly svdRounds?: number;
}

/**
 * Alternates between the two halves of W ≈ Q + s B A: Q is W - s B A after quantization, and s B A the best approximation of
 * its rank to W - Q. `requantize` quantizes a matrix of W's shape and dequantizes it. PEFT's loftq_init does the same with s =
 * 1.
 */
export async function loftqStart(
  weight: Matrix,
  requantize: (values: Float64Array) => Float64Array,
  { rank, scale, rounds, seed, svdRounds }: LoftqOptions,
): Promise<LoftqStart> {
  const { rows, columns, values } = weight;
  let rest = values;
  for (let round = 1; ; round++) {
    const base = requantize(rest);
    const lost: Matrix = { rows, columns, values: values.map((value, i) => value - base[i]!) };
    const turned = transpose(lost);
    const map = {
      ...{ rows, columns },
      times: (x: Matrix) => Promise.resolve(product(lost, x)),
      transposedTimes: (y: Matrix) => Promise.resolve(product(turned, y)),
    };
    const {
      left,
      values: sigma,
      right,
    } = await largestSingular(map, rank, seed, svdRounds === undefined ? {} : { rounds: svdRounds });
    const root = (i: number): number => Math.sqrt(sigma[i % rank]! / scale);
    const b: Matrix = { ...left, values: left.values.map((value, i) => value * root(i)) };
    const a = transpose({ ...right, values: right.values.map((value, i) => value * root(i)) });
    if (round >= rounds) return { base, a: a.values, b: b.values };
    const low = product(b, a);
    rest = values.map((value, i) => value - scale * low.values[i]!);
  }
}

/** Limits the rounds. The rounding error is spread over all directions, so more rounds would recover hardly more of it. */
const svdRounds = 4;

/**
 * Returns the adapter whose first values are the error of the quantized base: LoftQ with one round, which leaves the base as it
 * is. It changes linear modules only; where quantization lost nothing, the factors stay as they are.
 */
export async function loftqAdapter(
  adapter: Adapter,
  spec: DecoderSpec,
  whole: Pick<ModelWeights, 'read'>,
  quantized: Pick<ModelWeights, 'read'>,
  { seed, onModule }: { readonly seed: number; readonly onModule: (done: number, total: number) => Promise<void> },
): Promise<Adapter> {
  const parameters = adapter.parameters.slice();
  const modules = adapter.shape.modules.filter(({ kind }) => kind === 'linear');
  for (const [done, module] of modules.entries()) {
    await onModule(done, modules.length);
    const { path, rank, scale, inFeatures, outFeatures } = module;
    const values = Float64Array.from(moduleWeight(whole, spec, module));
    const left = Float64Array.from(moduleWeight(quantized, spec, module));
    if (values.every((value, i) => value === left[i])) continue;
    const weight: Matrix = { rows: outFeatures, columns: inFeatures, values };
    const options = { rank, scale, rounds: 1, seed: seed ^ streamOf(path), svdRounds };
    const { a, b } = await loftqStart(weight, () => left, options);
    tensorView(parameters, module.a).set(a);
    tensorView(parameters, module.b).set(b);
  }
  return { ...adapter, parameters };
}
