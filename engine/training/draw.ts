/** Keys of the random numbers of a step: what is drawn for a token follows from the seed, the step, the row's place in the step and the token's in its row. */
import { streamOf, threefry } from '../random.ts';

/** Which step a micro-batch belongs to, and where its first row stands among the rows of that step. */
export interface StepPlace {
  readonly step: number;
  readonly firstRow: number;
}

/** Two words for each of `tokens` tokens of a micro-batch in which these rows lie; 0 where none does. */
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
