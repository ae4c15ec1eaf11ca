/** Tests whether two answer the same rows differently, and says how many rows would show it. */
import { streamOf, threefry } from '../../random.ts';
import { normalQuantile } from './normal.ts';

/**
 * Returns the two-sided p-value of McNemar's exact test, from the number of rows that only one or only the other gets right.
 * Under the hypothesis that they are equal, each of these rows is a fair coin.
 */
export function mcnemar(onlyA: number, onlyB: number): number {
  const rows = onlyA + onlyB;
  const fewer = Math.min(onlyA, onlyB);
  // Terms are kept as logarithms, because 2^-rows vanishes beyond 1,074 rows.
  let logTerm = -rows * Math.LN2;
  let sum = Math.exp(logTerm);
  for (let k = 1; k <= fewer; k++) {
    logTerm += Math.log(rows - k + 1) - Math.log(k);
    sum += Math.exp(logTerm);
  }
  return Math.min(1, 2 * sum);
}

export interface SignFlipping {
  /** Names the source of each difference. Differences of one source change their sign together. */
  readonly sources?: readonly (string | number)[];
  readonly seed?: number;
  readonly resamples?: number;
}

/**
 * Returns the two-sided p-value of the test that flips the signs of paired differences (Fisher 1935). It tries all signs where
 * that is at most `resamples` of them, and draws them otherwise; then the observed ones are counted too.
 */
export function signFlipTest(differences: readonly number[], flipping: SignFlipping = {}): number {
  const { sources, seed = 0, resamples = 10_000 } = flipping;
  const groups = [...Map.groupBy(differences.keys(), (i) => sources?.[i] ?? i).values()];
  const sums = groups.map((rows) => rows.reduce((sum, i) => sum + differences[i]!, 0)).filter((sum) => sum !== 0);
  if (sums.length === 0) return 1;
  const scale = sums.reduce((sum, one) => sum + Math.abs(one), 0);
  // Rounding must not tell equal sums apart.
  const observed = Math.abs(sums.reduce((sum, one) => sum + one, 0)) - 1e-12 * scale;
  const all = sums.length < 32 && 2 ** sums.length <= resamples;
  const tries = all ? 2 ** sums.length : resamples;
  const key = [seed, streamOf('sign flips')] as const;
  let extreme = 0;
  for (let attempt = 0; attempt < tries; attempt++) {
    let sum = 0;
    let bits = attempt;
    for (let i = 0; i < sums.length; i++) {
      if (!all && i % 32 === 0) [bits] = threefry(key, [i / 32, attempt]);
      sum += ((bits >>> (i % 32)) & 1) === 1 ? sums[i]! : -sums[i]!;
    }
    if (Math.abs(sum) >= observed) extreme++;
  }
  return all ? extreme / tries : (extreme + 1) / (tries + 1);
}

/** Corrects p-values for their number (Holm 1979). They keep their order. */
export function holm(values: readonly number[]): number[] {
  const order = [...values.keys()].toSorted((a, b) => values[a]! - values[b]!);
  const corrected = new Array<number>(values.length);
  let largest = 0;
  order.forEach((index, rank) => {
    largest = Math.max(largest, Math.min(1, (values.length - rank) * values[index]!));
    corrected[index] = largest;
  });
  return corrected;
}

export interface Power {
  readonly alpha?: number;
  readonly power?: number;
}

/**
 * Returns how many rows McNemar's test needs to see a difference of shares (Connor 1987).
 * `discordance` is the share of rows that only one of both gets right; it is at least the difference.
 */
export function rowsForShares(difference: number, discordance: number, { alpha = 0.05, power = 0.8 }: Power = {}): number {
  const d = Math.abs(difference);
  if (d === 0) return Infinity;
  const share = Math.min(1, Math.max(discordance, d));
  const ends = normalQuantile(1 - alpha / 2) * Math.sqrt(share) + normalQuantile(power) * Math.sqrt(share - d * d);
  return Math.ceil((ends / d) ** 2 - 1e-9);
}

/** Returns how many rows show a difference of means, from the standard deviation of the differences of rows. */
export function rowsForMeans(difference: number, deviation: number, { alpha = 0.05, power = 0.8 }: Power = {}): number {
  if (difference === 0) return Infinity;
  const z = normalQuantile(1 - alpha / 2) + normalQuantile(power);
  return Math.max(1, Math.ceil(((z * deviation) / difference) ** 2 - 1e-9));
}

/** Returns the smallest difference of shares that this many rows show, or 1 where none is large enough. */
export function visibleShare(rows: number, discordance: number, power: Power = {}): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (rowsForShares(middle, discordance, power) > rows) low = middle;
    else high = middle;
  }
  return high;
}

/** Returns the smallest difference of means that this many rows show. */
export function visibleMean(rows: number, deviation: number, { alpha = 0.05, power = 0.8 }: Power = {}): number {
  return rows === 0 ? Infinity : ((normalQuantile(1 - alpha / 2) + normalQuantile(power)) * deviation) / Math.sqrt(rows);
}
