export type Point = readonly [x: number, y: number];

/**
 * Returns the exponential moving average without the bias of its start: m = w·m + (1 − w)·y, divided by 1 − wᵗ (as Adam
 * corrects its moments). A value that is not finite is left out of the mean.
 */
export function smooth(points: readonly Point[], weight: number): Point[] {
  let mean = 0;
  let share = 0;
  return points.map(([x, y]) => {
    if (Number.isFinite(y)) {
      mean = weight * mean + (1 - weight) * y;
      share = weight * share + (1 - weight);
    }
    return [x, share === 0 ? y : mean / share];
  });
}
