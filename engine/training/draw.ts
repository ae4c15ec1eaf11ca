/**
 * Computes the keys of the random numbers of a step. The numbers drawn for a token depend only on the seed, the step, the index
 * of the row in the step, and the index of the token in its row.
 */
import { streamOf, threefry } from '../random.ts';

/** Says which step a micro-batch belongs to, and the index of its first row among the rows of that step. */
export interface StepPlace {
  readonly step: number;
  readonly firstRow: number;
}

/**
 * Returns two int32 words for each of the `tokens` tokens of a micro-batch, two arrays `[tokens]`. `rows` says where its rows
 * lie; the words are 0 at padding.
 */
export function tokenKeys(
  seed: number,
  { step, firstRow }: StepPlace,
  rows: readonly { readonly start: number; readonly length: number }[],
  tokens: number,
): [Int32Array, Int32Array] {
  const [first, second] = [new Int32Array(tokens), new Int32Array(tokens)];
  const stream = [seed, streamOf('tokens of a step')] as const;
  rows.forEach(({ start, length }, row) => {
    const key = threefry(stream, [step, firstRow + row]);
    for (let t = 0; t < length; t++) [first[start + t], second[start + t]] = threefry(key, [t, 0]) as [number, number];
  });
  return [first, second];
}
