import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { kappa } from './agreement.ts';
import { brierScore, calibrationError, fitTemperature, probabilities } from './calibration.ts';
import { bcaInterval, bootstrapMean, wilson } from './interval.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import { holm, mcnemar, rowsForMeans, rowsForShares, signFlipTest, visibleMean, visibleShare } from './paired.ts';

interface Bootstrapped {
  readonly values: readonly number[];
  readonly sources: readonly number[] | null;
  readonly low: number;
  readonly high: number;
  readonly given: { readonly resampled: readonly number[]; readonly low: number; readonly high: number };
}
interface Calibrated {
  readonly logLikelihoods: readonly (readonly number[])[];
  readonly right: readonly number[];
  readonly temperature: number;
  readonly brier: number;
  readonly error: number;
}
/** Holds what SciPy and statsmodels compute. */
const expected = JSON.parse(readFileSync(join(import.meta.dirname, '../../golden/statistics.json'), 'utf8')) as {
  readonly normal: readonly [number, number][];
  readonly quantiles: readonly [number, number][];
  readonly wilson: readonly [number, number, number, number, number][];
  readonly mcnemar: readonly [number, number, number][];
  readonly holm: readonly [number[], number[]][];
  readonly bootstrap: readonly Bootstrapped[];
  readonly signFlips: readonly [number[], number][];
  readonly rowsForShares: readonly [number, number, number][];
  readonly kappa: readonly [number[], number[], number][];
  readonly calibration: readonly Calibrated[];
};

const expectClose = (value: number, other: number, relative = 1e-12): void =>
  expect(Math.abs(value - other)).toBeLessThanOrEqual(relative * Math.max(Math.abs(other), 1e-305));

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('intervals', () => {
  it('takes the normal distribution and its inverse far into the tails', () => {
    for (const [x, share] of expected.normal) expectClose(normalCdf(x), share, 1e-12);
    for (const [share, x] of expected.quantiles) expect(normalQuantile(share)).toBeCloseTo(x, 11);
    expect([0, 1].map(normalQuantile)).toEqual([-Infinity, Infinity]);
  });

  it('gives shares the interval of statsmodels, and that of the table of Newcombe (1998)', () => {
    for (const [successes, trials, level, low, high] of expected.wilson) {
      const interval = wilson(successes, trials, level);
      expect(interval.low).toBeCloseTo(low, 12);
      expect(interval.high).toBeCloseTo(high, 12);
    }
    for (const [successes, trials, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ] as const) {
      const interval = wilson(successes, trials);
      expect([interval.low, interval.high].map((end) => end.toFixed(4))).toEqual([low, high].map((end) => end.toFixed(4)));
    }
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
  });

  it('computes the limits of SciPy from the same resamples', () => {
    for (const { values, sources, given } of expected.bootstrap) {
      const groups = [...Map.groupBy(values.keys(), (i) => sources?.[i] ?? i).values()];
      const leftOut = groups.map((own) => mean(values.filter((_, i) => !own.includes(i))));
      const interval = bcaInterval(mean(values), Float64Array.from(given.resampled), leftOut);
      expect(interval.low).toBeCloseTo(given.low, 9);
      expect(interval.high).toBeCloseTo(given.high, 9);
    }
  });

  it('draws rows of one source together, and lands where SciPy lands with other random numbers', () => {
    for (const { values, sources, low, high } of expected.bootstrap) {
      const interval = bootstrapMean(values, sources === null ? {} : { sources });
      // The mean of zeros and ones has steps, and a limit may lie one of them away.
      const near = values.every(Number.isInteger) ? 1.01 / values.length : 0.03 * (high - low);
      expect(Math.abs(interval.low - low)).toBeLessThan(near);
      expect(Math.abs(interval.high - high)).toBeLessThan(near);
    }
    const twice = expected.bootstrap[0]!.values.flatMap((value) => [value, value]);
    const alone = bootstrapMean(twice);
    const together = bootstrapMean(twice, { sources: twice.map((_, i) => i >> 1) });
    expect(together).toEqual(bootstrapMean(expected.bootstrap[0]!.values));
    expect(alone.high - alone.low).toBeLessThan(0.8 * (together.high - together.low));
  });

  it('repeats itself with a seed, and keeps to what it was given where nothing varies', () => {
    const { values } = expected.bootstrap[0]!;
    expect(bootstrapMean(values, { seed: 3 })).toEqual(bootstrapMean(values, { seed: 3 }));
    expect(bootstrapMean(values, { seed: 3 })).not.toEqual(bootstrapMean(values, { seed: 4 }));
    expect(bootstrapMean([0.5, 0.5, 0.5])).toEqual({ low: 0.5, high: 0.5 });
    expect(bootstrapMean([1, 2], { sources: ['a', 'a'] })).toEqual({ low: 1.5, high: 1.5 });
  });
});

describe('tests of pairs', () => {
  it("computes McNemar's exact test as statsmodels does, also of thousands of rows", () => {
    for (const [onlyA, onlyB, p] of expected.mcnemar) {
      expectClose(mcnemar(onlyA, onlyB), p, 1e-9);
      expect(mcnemar(onlyB, onlyA)).toBe(mcnemar(onlyA, onlyB));
    }
  });

  it("flips signs as SciPy does, and finds Fisher's 863 of 32,768 for Darwin's plants", () => {
    for (const [differences, p] of expected.signFlips) expectClose(signFlipTest(differences), p);
    const plants = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48];
    expect(signFlipTest(plants, { resamples: 2 ** 15 })).toBe((2 * 863) / 32_768);
    expect(signFlipTest(plants)).toBeCloseTo((2 * 863) / 32_768, 2);
    expect(signFlipTest(Array.from({ length: 200 }, () => 0.1))).toBeCloseTo(1 / 10_001, 9);
    expect(signFlipTest([1, 1, 1, 1, 1], { sources: [0, 0, 0, 0, 0] })).toBe(1);
    expect(signFlipTest([])).toBe(1);
  });

  it('corrects for the number of tests as statsmodels does', () => {
    for (const [values, corrected] of expected.holm) holm(values).forEach((value, i) => expectClose(value, corrected[i]!));
    expect(holm([])).toEqual([]);
  });

  it('says how many rows a difference needs, and which difference rows can show', () => {
    for (const [difference, discordance, rows] of expected.rowsForShares) {
      expect(rowsForShares(difference, discordance)).toBe(rows);
      expect(rowsForShares(visibleShare(rows, discordance), discordance)).toBeLessThanOrEqual(rows);
      expect(rowsForShares(visibleShare(rows, discordance) - 1e-4, discordance)).toBeGreaterThan(rows - 10);
    }
    // As many rows must differ as the difference is large.
    expect(rowsForShares(0.1, 0)).toBe(rowsForShares(0.1, 0.1));
    expect(rowsForMeans(visibleMean(120, 0.4), 0.4)).toBe(120);
    expect([rowsForShares(0, 0.2), rowsForMeans(0, 1), visibleMean(0, 1), visibleShare(0, 0.2)]).toEqual([
      Infinity,
      Infinity,
      Infinity,
      1,
    ]);
  });
});

describe('agreement and calibration', () => {
  it("computes Cohen's kappa as statsmodels does, and the 0.4 of the textbooks", () => {
    for (const [one, other, value] of expected.kappa) expect(kappa(one, other)).toBeCloseTo(value, 12);
    const table = [
      ['yes', 'yes', 20],
      ['yes', 'no', 5],
      ['no', 'yes', 10],
      ['no', 'no', 15],
    ] as const;
    const [one, other] = [0, 1].map((rater) =>
      table.flatMap((entry) => Array.from({ length: entry[2] }, () => String(entry[rater]))),
    );
    expect(kappa(one!, other!)).toBeCloseTo(0.4, 12);
    expect(kappa([], [])).toBeNull();
    expect(kappa([1, 1], [1, 1])).toBeNull();
  });

  it('computes Brier score, calibration error and temperature as written out in NumPy', () => {
    for (const { logLikelihoods, right, temperature, brier, error } of expected.calibration) {
      const choices = logLikelihoods.map((own, i) => ({ logLikelihoods: own, right: right[i]! }));
      expect(brierScore(choices)).toBeCloseTo(brier, 12);
      expect(calibrationError(choices)).toBeCloseTo(error, 12);
      expect(fitTemperature(choices)).toBeCloseTo(temperature, 5);
    }
  });

  it('keeps to the ends where no temperature is best, and takes log-likelihoods of any size', () => {
    expect(fitTemperature([{ logLikelihoods: [-1, -2], right: 0 }])).toBe(0.01);
    expect(fitTemperature([{ logLikelihoods: [-1, -2], right: 1 }])).toBe(100);
    expect(probabilities([-5000, -5000])).toEqual([0.5, 0.5]);
    expect(probabilities([-Infinity, -3])).toEqual([0, 1]);
  });
});
