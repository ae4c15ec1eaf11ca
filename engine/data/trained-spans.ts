/**
 * Stores labels as the positions where trained spans begin and end, which is nearly always a few numbers instead of a label for
 * each token.
 */
import { ignored } from '../labels.ts';

/**
 * Returns alternately where trained spans begin and end. Returns null where labels are other tokens than the row's own, or
 * where the result would be no shorter than the labels.
 */
export function boundsOfTrained(ids: Int32Array, labels: Int32Array): number[] | null {
  const bounds: number[] = [];
  let isTrained = false;
  for (let t = 0; t < labels.length; t++) {
    const label = labels[t]!;
    if (label !== ignored && label !== ids[t]) return null;
    if ((label !== ignored) === isTrained) continue;
    isTrained = !isTrained;
    bounds.push(t);
    if (bounds.length + 1 >= labels.length) return null;
  }
  if (isTrained) bounds.push(labels.length);
  return bounds;
}

/** Returns the labels of tokens that are trained within these bounds. */
export function labelsWithin(ids: Int32Array, bounds: Int32Array): Int32Array {
  const labels = new Int32Array(ids.length).fill(ignored);
  for (let i = 0; i < bounds.length; i += 2) {
    const [from, to] = [bounds[i]!, bounds[i + 1]!];
    labels.set(ids.subarray(from, to), from);
  }
  return labels;
}
