/** Computes intervals of shares and of means. */
import { streamOf, threefry } from '../../random.ts';
import { normalCdf, normalQuantile } from './normal.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Gives the confidence of all intervals that nothing else is said of. */
export const confidence = 0.95;

/** Computes the interval of a share (Wilson 1927). Without trials it is everything from 0 to 1. */
export function wilson(successes: number, trials: number, level = confidence): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const z = normalQuantile((1 + level) / 2);
  const share = successes / trials;
  const scale = 1 + (z * z) / trials;
  const middle = (share + (z * z) / (2 * trials)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials));
  // The ends are exact where nothing or everything succeeded; rounding would leave a trace of 1e-17.
  return { low: successes === 0 ? 0 : middle - half, high: successes === trials ? 1 : middle + half };
}

export interface Resampling {
  /** Names the source of each value. Values of one source are drawn together. If it is left out, each has its own. */
  readonly sources?: readonly (string | number)[];
  /** Gives the weight of each value. If it is left out, all weigh the same. */
  readonly weights?: readonly number[];
  readonly seed?: number;
  readonly resamples?: number;
  readonly level?: number;
}

/** Returns the interval of a mean by the bootstrap that is bias-corrected and accelerated (BCa; Efron 1987). */
export function bootstrapMean(values: readonly number[], resampling: Resampling = {}): Interval {
  const { sources, weights, seed = 0, resamples = 10_000, level = confidence } = resampling;
  if (values.length === 0) return { low: NaN, high: NaN };
  const groups = [...Map.groupBy(values.keys(), (i) => sources?.[i] ?? i).values()];
  const counts = Float64Array.from(groups, (rows) => rows.reduce((sum, i) => sum + (weights?.[i] ?? 1), 0));
  const sums = Float64Array.from(groups, (rows) => rows.reduce((sum, i) => sum + (weights?.[i] ?? 1) * values[i]!, 0));
  const total = sums.reduce((sum, one) => sum + one, 0);
  const weight = counts.reduce((sum, one) => sum + one, 0);
  const mean = total / weight;
  if (groups.length === 1) return { low: mean, high: mean };
  const left = Array.from(groups, (_, i) => (total - sums[i]!) / (weight - counts[i]!));
  return bcaInterval(mean, resampledMeans(sums, counts, resamples, seed), left, level);
}

function resampledMeans(sums: Float64Array, counts: Float64Array, resamples: number, seed: number): Float64Array {
  const key = [seed, streamOf('bootstrap')] as const;
  return Float64Array.from({ length: resamples }, (_, resample) => {
    let [sum, count] = [0, 0];
    for (let i = 0; i < sums.length; i += 2) {
      const words = threefry(key, [i / 2, resample]);
      for (let half = 0; half < 2 && i + half < sums.length; half++) {
        const drawn = Math.floor((words[half]! / 2 ** 32) * sums.length);
        sum += sums[drawn]!;
        count += counts[drawn]!;
      }
    }
    return sum / count;
  });
}

/**
 * Computes the BCa interval from an estimate, its values over resamples, and its values with one source left out at a time.
 */
export function bcaInterval(
  estimate: number,
  resampled: Float64Array,
  leftOut: readonly number[],
  level = confidence,
): Interval {
  const sorted = resampled.toSorted();
  if (sorted[0] === sorted.at(-1)) return { low: estimate, high: estimate };
  let [below, same] = [0, 0];
  for (const value of sorted) {
    if (value < estimate) below++;
    else if (value === estimate) same++;
  }
  const bias = normalQuantile((below + same / 2) / sorted.length);
  const middle = leftOut.reduce((sum, value) => sum + value, 0) / leftOut.length;
  const distances = leftOut.map((value) => middle - value);
  const squares = distances.reduce((sum, d) => sum + d * d, 0);
  const acceleration = squares === 0 ? 0 : distances.reduce((sum, d) => sum + d ** 3, 0) / (6 * squares ** 1.5);
  const limit = (share: number): number => {
    if (!Number.isFinite(bias)) return bias < 0 ? sorted[0]! : sorted.at(-1)!;
    const z = bias + normalQuantile(share);
    return quantile(sorted, normalCdf(bias + z / (1 - acceleration * z)));
  };
  return { low: limit((1 - level) / 2), high: limit((1 + level) / 2) };
}

/** Returns a quantile of sorted numbers; between two of them it is interpolated linearly (type 7 of Hyndman and Fan 1996). */
function quantile(sorted: Float64Array, share: number): number {
  const at = Math.min(1, Math.max(0, share)) * (sorted.length - 1);
  const before = Math.floor(at);
  const low = sorted[before]!;
  return low + (at - before) * ((sorted[before + 1] ?? low) - low);
}
