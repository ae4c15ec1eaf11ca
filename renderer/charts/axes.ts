import type { Point } from './smooth.ts';

/** Returns whether curves only have points at whole numbers, as steps and tokens do. Between these an axis needs no ticks. */
export function isWhole(curves: readonly { readonly points: readonly Point[] }[]): boolean {
  return curves.every(({ points }) => points.every(([x]) => Number.isInteger(x)));
}

/** Returns whether there is anything to draw. Without a point an axis would only show made-up numbers. */
export function hasPoints(curves: readonly { readonly points: readonly Point[] }[]): boolean {
  return curves.some(({ points }) => points.length > 0);
}
