/** LoftQ (Li et al. 2023): where the base is quantized, factors that begin with what quantization has lost. */
import { largestSingular, product, transpose, type Matrix } from './decompose.ts';

export interface LoftqStart {
  /** The quantized matrix, read back. */
  readonly base: Float64Array;
  /** `[r, in]` */
  readonly a: Float64Array;
  /** `[out, r]` */
  readonly b: Float64Array;
}

/**
 * Alternates between the two halves of W ≈ Q + s B A: Q is what quantization leaves of W - s B A, and s B A the best of its rank for
 * W - Q. `requantize` writes a matrix of W's shape in few bits and reads it back. As PEFT's loftq_init, where s is 1.
 */
export async function loftqStart(
  weight: Matrix,
  requantize: (values: Float64Array) => Float64Array,
  {
    rank,
    scale,
    rounds,
    seed,
  }: { readonly rank: number; readonly scale: number; readonly rounds: number; readonly seed: number },
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
    const { left, values: sigma, right } = await largestSingular(map, rank, seed);
    const root = (i: number): number => Math.sqrt(sigma[i % rank]! / scale);
    const b: Matrix = { ...left, values: left.values.map((value, i) => value * root(i)) };
    const a = transpose({ ...right, values: right.values.map((value, i) => value * root(i)) });
    if (round >= rounds) return { base, a: a.values, b: b.values };
    const low = product(b, a);
    rest = values.map((value, i) => value - scale * low.values[i]!);
  }
}
