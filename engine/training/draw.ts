/** Keys of the random numbers of a step: what is drawn for a token follows from the seed, the step, the row's place in the step and the token's in its row. */
import { streamOf, threefry } from './random.ts';

/** Which step a micro-batch belongs to, and where its first row stands among the rows of that step. */
export interface StepPlace {
  readonly step: number;
  readonly firstRow: number;
}

/** Two words for each token of `batch` rows of `time` tokens. */
export function tokenKeys(
  seed: number,
  { step, firstRow }: StepPlace,
  { batch, time }: { readonly batch: number; readonly time: number },
): [Int32Array, Int32Array] {
  const [first, second] = [new Int32Array(batch * time), new Int32Array(batch * time)];
  const stream = [seed, streamOf('tokens of a step')] as const;
  for (let row = 0; row < batch; row++) {
    const key = threefry(stream, [step, firstRow + row]);
    for (let t = 0; t < time; t++) [first[row * time + t], second[row * time + t]] = threefry(key, [t, 0]) as [number, number];
  }
  return [first, second];
}
