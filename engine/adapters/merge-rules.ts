/**
 * Merges tensors of the same shape element by element, by the rules of TIES (Yadav et al. 2023), DARE (Yu et al. 2024) and
 * magnitude pruning, as PEFT's `merge_utils` has them.
 */
import type { MixRule } from '../mix-methods.ts';
import { fillUniform } from '../random.ts';

/** Says what becomes of tensors before they are added. */
export type MergeRule = Pick<MixRule, 'prune' | 'electsSign'>;

/** Holds the numbers of a merge, all of which have been checked. */
export interface MergeNumbers {
  /** Gives the share of values that is kept, above 0 and at most 1. */
  readonly density: number;
  /** Says whether the majority is that of the sum of the values, or of their number. */
  readonly majoritySign: 'total' | 'frequency';
  readonly seed: number;
}

/**
 * Returns the merged tensor. Signs are elected before the weights are applied, so that a negative weight takes away what the
 * majority has. `name` gives every tensor a random stream of its own.
 */
export function mergeTensors(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  { prune, electsSign }: MergeRule,
  { density, majoritySign, seed }: MergeNumbers,
  name: string,
): Float32Array {
  const kept =
    prune === null || density === 1
      ? tensors
      : tensors.map((tensor, i) =>
          prune === 'magnitude' ? largestOf(tensor, density) : drawnOf(tensor, density, seed, `${name} of adapter ${i}`),
        );
  return Float32Array.from({ length: kept[0]!.length }, (_, at) => {
    if (!electsSign) return kept.reduce((total, tensor, i) => total + weights[i]! * tensor[at]!, 0);
    const votes = kept.reduce((total, tensor) => total + (majoritySign === 'total' ? tensor[at]! : Math.sign(tensor[at]!)), 0);
    const sign = votes >= 0 ? 1 : -1;
    let [total, count] = [0, 0];
    for (const [i, tensor] of kept.entries()) {
      if (Math.sign(tensor[at]!) !== sign) continue;
      total += weights[i]! * tensor[at]!;
      count++;
    }
    return total / Math.max(count, 1);
  });
}

/** Returns a tensor in which only this share of values, the largest without their sign, is not 0. */
function largestOf(tensor: Float32Array, density: number): Float32Array {
  const count = Math.trunc(density * tensor.length);
  const sizes = tensor.map(Math.abs).sort();
  const least = count === 0 ? Infinity : sizes[sizes.length - count]!;
  // Among equal values at the limit the first are kept, so that exactly `count` are.
  let equal = count - tensor.reduce((larger, value) => larger + (Math.abs(value) > least ? 1 : 0), 0);
  return tensor.map((value) => {
    const size = Math.abs(value);
    return size > least || (size === least && equal-- > 0) ? value : 0;
  });
}

/** Returns a tensor in which each value is kept with this probability, and then divided by it. */
function drawnOf(tensor: Float32Array, density: number, seed: number, name: string): Float32Array {
  const draws = new Float32Array(tensor.length);
  fillUniform(draws, 1, seed, name);
  return tensor.map((value, i) => (draws[i]! < 2 * density - 1 ? value / density : 0));
}
