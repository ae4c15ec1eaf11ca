/**
 * The searches for a group's scale (and minimum), as ggml-quants.c does them without importance (`make_qx_quants`, `make_q3_quants`,
 * `make_qkx2_quants`) and with it (`make_qkx3_quants`, `make_qp_quants`). Every sum, product and quotient is rounded to float32 in the
 * same order, so that the same candidate wins and the bytes are llama.cpp's (of a build without fused multiply-add, as its x86-64
 * reference quantizer is). Float64 products, sums, quotients and roots of float32 numbers round to float32 as if computed there.
 */
const f = Math.fround;

/** Adding and subtracting it rounds a float64 to the nearest integer, ties to even. */
const roundingMagic = 1.5 * 2 ** 52;

export function nearest(value: number): number {
  return value + roundingMagic - roundingMagic;
}

function clampedNearest(value: number, least: number, most: number): number {
  return value > least ? (value < most ? value + roundingMagic - roundingMagic : most) : least;
}

/** Below this a group counts as all zero. */
export const negligible = f(1e-15);

/** Which scales a search for q = 0 to `top` tries: (first + step i + top) / range for i = 0 to `steps`. */
export interface AffineCandidates {
  readonly first: number;
  readonly step: number;
  readonly steps: number;
  /** The error is a sum of absolute differences, else of squares. */
  readonly absolute: boolean;
}

/** Those of every type when importance is given. */
export const weightedCandidates: AffineCandidates = { first: f(-0.9), step: f(0.05), steps: 36, absolute: false };

const candidateLevels = new Uint8Array(32);

/**
 * Fits x = scale q - minimum with q from 0 to `top` and minimum not below 0: `levels` from `from` on get q, `scales` and `minima` the fit
 * at `at`. Every candidate's levels give a least-squares fit; the one of least weighted error wins.
 */
export function fitAffine(
  x: Float32Array,
  from: number,
  weights: Float32Array,
  top: number,
  { first, step, steps, absolute }: AffineCandidates,
  levels: Uint8Array,
  to: number,
  scales: Float32Array,
  minima: Float32Array,
  at: number,
): void {
  const n = weights.length;
  let least = x[from]!;
  let most = least;
  let sumW = weights[0]!;
  let sumX = f(sumW * least);
  for (let i = 1; i < n; i++) {
    const value = x[from + i]!;
    if (value < least) least = value;
    if (value > most) most = value;
    sumW = f(sumW + weights[i]!);
    sumX = f(sumX + f(weights[i]! * value));
  }
  if (least > 0) least = 0;
  if (most === least) {
    levels.fill(0, to, to + n);
    scales[at] = 0;
    minima[at] = -least;
    return;
  }
  let inverse = f(top / f(most - least));
  let scale = f(1 / inverse);
  let bestError = 0;
  for (let i = 0; i < n; i++) {
    const value = x[from + i]!;
    const level = clampedNearest(f(inverse * f(value - least)), 0, top);
    levels[to + i] = level;
    const difference = f(f(f(scale * level) + least) - value);
    bestError = f(bestError + f(weights[i]! * (absolute ? Math.abs(difference) : f(difference * difference))));
  }
  for (let candidate = 0; candidate <= steps; candidate++) {
    inverse = f(f(f(first + f(step * candidate)) + top) / f(most - least));
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < n; i++) {
      const value = x[from + i]!;
      const level = clampedNearest(f(inverse * f(value - least)), 0, top);
      candidateLevels[i] = level;
      const weighted = f(weights[i]! * level);
      sumL = f(sumL + weighted);
      sumL2 = f(sumL2 + f(weighted * level));
      sumXL = f(sumXL + f(weighted * value));
    }
    const determinant = f(f(sumW * sumL2) - f(sumL * sumL));
    if (!(determinant > 0)) continue;
    let thisScale = f(f(f(sumW * sumXL) - f(sumX * sumL)) / determinant);
    let thisLeast = f(f(f(sumL2 * sumX) - f(sumL * sumXL)) / determinant);
    if (thisLeast > 0) {
      thisLeast = 0;
      thisScale = f(sumXL / sumL2);
    }
    let error = 0;
    // Weights are not negative, so the sum only grows.
    for (let i = 0; i < n && error < bestError; i++) {
      const difference = f(f(f(thisScale * candidateLevels[i]!) + thisLeast) - x[from + i]!);
      error = f(error + f(weights[i]! * (absolute ? Math.abs(difference) : f(difference * difference))));
    }
    if (error < bestError) {
      for (let i = 0; i < n; i++) levels[to + i] = candidateLevels[i]!;
      bestError = error;
      scale = thisScale;
      least = thisLeast;
    }
  }
  scales[at] = scale;
  minima[at] = -least;
}

/** The first of those with the largest magnitude. */
export function extreme(x: Float32Array, from: number, n: number): number {
  let found = 0;
  for (let i = from; i < from + n; i++) if (Math.abs(x[i]!) > Math.abs(found)) found = x[i]!;
  return found;
}

/**
 * Fits x = scale (q - half) with q from 0 to 2 half - 1: `levels` from `to` on get q; returns the scale. Nineteen scales around
 * -half / extreme are tried. Without weights every element weighs its square.
 */
export function fitSymmetric(
  x: Float32Array,
  from: number,
  n: number,
  weights: Float32Array | null,
  half: number,
  levels: Uint8Array,
  to: number,
): number {
  const largest = extreme(x, from, n);
  if (Math.abs(largest) < negligible) {
    levels.fill(0, to, to + n);
    return 0;
  }
  let scale = 0;
  let best = 0;
  // The first candidate is always taken.
  for (let candidate = 0; candidate < 19; candidate++) {
    const offset = candidate === 0 ? 0 : candidate <= 9 ? candidate - 10 : candidate - 9;
    const inverse = f(-f(half + f(f(0.1) * offset)) / largest);
    let sumXL = 0;
    let sumL2 = 0;
    for (let i = 0; i < n; i++) {
      const value = x[from + i]!;
      const level = clampedNearest(f(inverse * value), -half, half - 1);
      const weight = weights === null ? f(value * value) : weights[i]!;
      sumXL = f(sumXL + f(f(weight * value) * level));
      sumL2 = f(sumL2 + f(f(weight * level) * level));
    }
    if (candidate === 0 || (sumL2 > 0 && f(sumXL * sumXL) > f(best * sumL2))) {
      for (let i = 0; i < n; i++) levels[to + i] = half + clampedNearest(f(inverse * x[from + i]!), -half, half - 1);
      scale = sumL2 === 0 ? 0 : f(sumXL / sumL2);
      best = f(scale * sumXL);
    }
  }
  return scale;
}

const signedLevels = new Int8Array(16);

/** As `fitSymmetric`, for Q3_K without importance: single levels are moved, in at most five rounds, while that improves the fit. */
export function fitSymmetricByLevels(
  x: Float32Array,
  from: number,
  n: number,
  half: number,
  levels: Uint8Array,
  to: number,
): number {
  const largest = extreme(x, from, n);
  if (Math.abs(largest) < negligible) {
    levels.fill(0, to, to + n);
    return 0;
  }
  const inverse = f(-half / largest);
  let sumXL = 0;
  let sumL2 = 0;
  for (let i = 0; i < n; i++) {
    const value = x[from + i]!;
    const level = clampedNearest(f(inverse * value), -half, half - 1);
    signedLevels[i] = level;
    const weight = f(value * value);
    sumXL = f(sumXL + f(f(weight * value) * level));
    sumL2 = f(sumL2 + f(f(weight * level) * level));
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < n; i++) {
      const value = x[from + i]!;
      const old = signedLevels[i]!;
      const weight = f(value * value);
      let restXL = f(sumXL - f(f(weight * value) * old));
      if (!(restXL > 0)) continue;
      let restL2 = f(sumL2 - f(f(weight * old) * old));
      const level = clampedNearest(f(f(value * restL2) / restXL), -half, half - 1);
      if (level === old) continue;
      restXL = f(restXL + f(f(weight * value) * level));
      restL2 = f(restL2 + f(f(weight * level) * level));
      if (restL2 > 0 && f(f(restXL * restXL) * sumL2) > f(f(sumXL * sumXL) * restL2)) {
        signedLevels[i] = level;
        sumXL = restXL;
        sumL2 = restL2;
        changed = true;
      }
    }
  }
  for (let i = 0; i < n; i++) levels[to + i] = signedLevels[i]! + half;
  return sumL2 > 0 ? f(sumXL / sumL2) : 0;
}

/** Fits x = scale q with q from 0 to `top`, for the scales and minima of a super-block, all of which are not negative; returns the scale. */
export function fitPositive(x: Float32Array, weights: Float32Array, top: number, levels: Uint8Array): number {
  const n = x.length;
  let most = 0;
  for (let i = 0; i < n; i++) if (x[i]! > most) most = x[i]!;
  if (most < negligible) {
    levels.fill(0);
    return 0;
  }
  let inverse = f(top / most);
  let bestError = errorOf(x, weights, inverse, top);
  for (let offset = -4; offset <= 4; offset++) {
    if (offset === 0) continue;
    const candidate = f(f(f(f(0.1) * offset) + top) / most);
    const error = errorOf(x, weights, candidate, top);
    if (error < bestError) {
      bestError = error;
      inverse = candidate;
    }
  }
  let sumXL = 0;
  let sumL2 = 0;
  for (let i = 0; i < n; i++) {
    const level = Math.min(top, nearest(f(inverse * x[i]!)));
    levels[i] = level;
    sumXL = f(sumXL + f(f(weights[i]! * x[i]!) * level));
    sumL2 = f(sumL2 + f(f(weights[i]! * level) * level));
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < n; i++) {
      const value = x[i]!;
      const weight = weights[i]!;
      const old = levels[i]!;
      let restXL = f(sumXL - f(f(weight * value) * old));
      let restL2 = f(sumL2 - f(f(weight * old) * old));
      if (!(restXL > 0 && restL2 > 0)) continue;
      const level = Math.min(top, nearest(f(f(value * restL2) / restXL)));
      if (level === old) continue;
      restXL = f(restXL + f(f(weight * value) * level));
      restL2 = f(restL2 + f(f(weight * level) * level));
      if (f(f(restXL * restXL) * sumL2) > f(f(sumXL * sumXL) * restL2)) {
        levels[i] = level;
        sumXL = restXL;
        sumL2 = restL2;
        changed = true;
      }
    }
  }
  return sumL2 > 0 ? f(sumXL / sumL2) : 0;
}

function errorOf(x: Float32Array, weights: Float32Array, inverse: number, top: number): number {
  const scale = f(1 / inverse);
  let error = 0;
  for (let i = 0; i < x.length; i++) {
    const difference = f(x[i]! - f(scale * Math.min(top, nearest(f(inverse * x[i]!)))));
    error = f(error + f(f(weights[i]! * difference) * difference));
  }
  return error;
}
