/**
 * Searches for a group's scale (and minimum), as ggml-quants.c does without importance (`make_qx_quants`, `make_q3_quants`,
 * `make_qkx2_quants`) and with it (`make_qkx3_quants`, `make_qp_quants`). Every sum, product and quotient is rounded to float32
 * in the same order, so that the same candidate wins and the bytes are llama.cpp's (of a build without fused multiply-add, as
 * its x86-64 reference quantizer is). The two searches that take nearly all the time handle four groups at once, one in each
 * lane of a vector.
 */
import {
  abs,
  add,
  and,
  compile,
  constant,
  divide,
  each,
  equal,
  least,
  less,
  load,
  loadSame,
  most,
  multiply,
  nearest as nearest4,
  negate,
  number,
  or,
  select,
  set,
  store,
  subtract,
  without,
  type Code,
  type Kernel,
  type Local,
  type Operand,
} from './wasm.ts';

const f = Math.fround;

/** Rounds a float64 to the nearest integer, ties to even, when it is added and then subtracted. */
const roundingMagic = 1.5 * 2 ** 52;

export function nearest(value: number): number {
  return value + roundingMagic - roundingMagic;
}

function clampedNearest(value: number, least: number, most: number): number {
  return value > least ? (value < most ? value + roundingMagic - roundingMagic : most) : least;
}

/** A group counts as all zero when it has no magnitude above this. */
export const negligible = f(1e-15);

/** Holds byte offsets of what the kernels read and write: element i of four groups is the vector at 16 i. */
const places = { x: 0, weights: 512, candidate: 1024, levels: 1536, scale: 2048, minimum: 2064, tries: 2080 };
const start = number(0);

/**
 * Builds the kernel that fits scale and minimum. Its parameters are the bytes of a group's vectors and the bytes of the tries,
 * which follow the largest level. A try divided by the range of the group is an inverse scale, which gives levels. The
 * least-squares fit to these levels is a candidate, and the candidate with the least error wins.
 */
function affineKernel(absolute: boolean): Kernel {
  return {
    parameters: 2,
    build({ integers, vectors }) {
      const [bytes, tries] = [0, 1];
      const { at, trial } = integers('at', 'trial');
      const v = vectors(
        ...(['low', 'high', 'top', 'flat', 'flatLow', 'x', 'level', 'part', 'inverse', 'scale', 'error', 'best'] as const),
        ...(['sumW', 'sumX', 'sumL', 'sumL2', 'sumXL', 'determinant', 'newScale', 'newLow', 'better'] as const),
      );
      const x = load(at, places.x);
      const weight = load(at, places.weights);
      const addTo = (sum: Local, value: Operand): Code => set(sum, add(sum, value));
      const levelOf = nearest4(least(v.top, most(constant(0), multiply(v.inverse, subtract(v.x, v.low)))));
      const errorOf = (scale: Operand, level: Operand, low: Operand): Code => [
        ...set(v.part, subtract(add(multiply(scale, level), low), x)),
        ...addTo(v.error, multiply(weight, absolute ? abs(v.part) : multiply(v.part, v.part))),
      ];
      const zero = (...sums: Local[]): Code => sums.flatMap((sum) => set(sum, constant(0)));
      const range = subtract(v.high, v.low);
      return [
        ...set(v.low, load(start, places.x)),
        ...set(v.high, load(start, places.x)),
        ...set(v.top, loadSame(start, places.tries)),
        ...zero(v.sumW, v.sumX, v.error),
        ...each(at, 16, bytes, [
          ...set(v.low, least(v.low, x)),
          ...set(v.high, most(v.high, x)),
          ...addTo(v.sumW, weight),
          ...addTo(v.sumX, multiply(weight, x)),
        ]),
        ...set(v.low, least(v.low, constant(0))),
        ...set(v.flatLow, v.low),
        ...set(v.flat, equal(v.low, v.high)),
        ...set(v.inverse, divide(v.top, range)),
        ...set(v.scale, divide(constant(1), v.inverse)),
        ...each(at, 16, bytes, [
          ...set(v.x, x),
          ...set(v.level, levelOf),
          ...store(at, places.levels, v.level),
          ...errorOf(v.scale, v.level, v.low),
        ]),
        ...set(v.best, v.error),
        ...each(trial, 4, tries, [
          ...set(v.inverse, divide(loadSame(trial, places.tries + 4), range)),
          ...zero(v.sumL, v.sumL2, v.sumXL, v.error),
          ...each(at, 16, bytes, [
            ...set(v.x, x),
            ...set(v.level, levelOf),
            ...store(at, places.candidate, v.level),
            ...set(v.part, multiply(weight, v.level)),
            ...addTo(v.sumL, v.part),
            ...addTo(v.sumL2, multiply(v.part, v.level)),
            ...addTo(v.sumXL, multiply(v.part, v.x)),
          ]),
          ...set(v.determinant, subtract(multiply(v.sumW, v.sumL2), multiply(v.sumL, v.sumL))),
          ...set(v.newScale, divide(subtract(multiply(v.sumW, v.sumXL), multiply(v.sumX, v.sumL)), v.determinant)),
          ...set(v.newLow, divide(subtract(multiply(v.sumL2, v.sumX), multiply(v.sumL, v.sumXL)), v.determinant)),
          // A minimum above zero is not allowed, so the fit without one is used.
          ...set(v.better, less(constant(0), v.newLow)),
          ...set(v.newScale, select(v.better, divide(v.sumXL, v.sumL2), v.newScale)),
          ...set(v.newLow, without(v.newLow, v.better)),
          ...each(at, 16, bytes, errorOf(v.newScale, load(at, places.candidate), v.newLow)),
          ...set(v.better, and(less(v.error, v.best), less(constant(0), v.determinant))),
          ...set(v.best, select(v.better, v.error, v.best)),
          ...set(v.scale, select(v.better, v.newScale, v.scale)),
          ...set(v.low, select(v.better, v.newLow, v.low)),
          ...each(
            at,
            16,
            bytes,
            store(at, places.levels, select(v.better, load(at, places.candidate), load(at, places.levels))),
          ),
        ]),
        ...store(start, places.scale, without(v.scale, v.flat)),
        ...store(start, places.minimum, negate(select(v.flat, v.flatLow, v.low))),
        ...each(at, 16, bytes, store(at, places.levels, without(load(at, places.levels), v.flat))),
      ];
    },
  };
}

/**
 * Fits a scale alone. The kernel's parameters are the bytes of a group's vectors and the bytes of the tries. The first try is
 * `half`; the others are a little larger or smaller.
 */
const symmetricKernel: Kernel = {
  parameters: 2,
  build({ integers, vectors }) {
    const [bytes, tries] = [0, 1];
    const { at, trial } = integers('at', 'trial');
    const v = vectors(
      ...(['extreme', 'none', 'half', 'x', 'level', 'inverse', 'scale', 'best'] as const),
      ...(['sumXL', 'sumL2', 'newScale', 'first', 'better'] as const),
    );
    const x = load(at, places.x);
    const weight = load(at, places.weights);
    const addTo = (sum: Local, value: Operand): Code => set(sum, add(sum, value));
    const one = constant(1);
    return [
      ...set(v.extreme, constant(0)),
      ...each(at, 16, bytes, set(v.extreme, select(less(abs(v.extreme), abs(x)), x, v.extreme))),
      ...set(v.none, less(abs(v.extreme), constant(negligible))),
      ...set(v.half, loadSame(start, places.tries)),
      ...set(v.first, equal(v.half, v.half)),
      ...set(v.scale, constant(0)),
      ...set(v.best, constant(0)),
      ...each(trial, 4, tries, [
        ...set(v.inverse, divide(negate(loadSame(trial, places.tries)), v.extreme)),
        ...set(v.sumXL, constant(0)),
        ...set(v.sumL2, constant(0)),
        ...each(at, 16, bytes, [
          ...set(v.x, x),
          ...set(v.level, nearest4(least(subtract(v.half, one), most(negate(v.half), multiply(v.inverse, v.x))))),
          ...store(at, places.candidate, v.level),
          ...addTo(v.sumXL, multiply(multiply(weight, v.x), v.level)),
          ...addTo(v.sumL2, multiply(multiply(weight, v.level), v.level)),
        ]),
        ...set(v.better, less(constant(0), v.sumL2)),
        ...set(v.newScale, and(divide(v.sumXL, v.sumL2), v.better)),
        ...set(v.better, or(v.first, and(v.better, less(multiply(v.best, v.sumL2), multiply(v.sumXL, v.sumXL))))),
        ...set(v.first, constant(0)),
        ...set(v.scale, select(v.better, v.newScale, v.scale)),
        ...set(v.best, select(v.better, multiply(v.newScale, v.sumXL), v.best)),
        ...each(
          at,
          16,
          bytes,
          store(at, places.levels, select(v.better, add(load(at, places.candidate), v.half), load(at, places.levels))),
        ),
      ]),
      ...store(start, places.scale, without(v.scale, v.none)),
      ...each(at, 16, bytes, store(at, places.levels, without(load(at, places.levels), v.none))),
    ];
  },
};

function compileKernels() {
  return compile({
    affineBySquares: affineKernel(false),
    affineByMagnitudes: affineKernel(true),
    symmetric: symmetricKernel,
  });
}
let compiled: ReturnType<typeof compileKernels> | undefined;

/** Holds the scales that a search for q = 0 to `top` tries: (first + step i + top) / range for i = 0 to `steps`. */
export interface AffineCandidates {
  readonly first: number;
  readonly step: number;
  readonly steps: number;
  /** Says whether the error is a sum of absolute differences; a sum of squares if not. */
  readonly absolute: boolean;
}

/** Holds the candidates of every type when importance is given. */
export const weightedCandidates: AffineCandidates = { first: f(-0.9), step: f(0.05), steps: 36, absolute: false };

/**
 * Fits x = scale q - minimum, with q from 0 to `top` and a minimum of at least 0, to consecutive groups that begin at `from`.
 * There are as many groups as `scales` has elements, and each has `weights.length / scales.length` elements. Writes `levels`,
 * `scales` and `minima`.
 */
export function fitAffine(
  x: Float32Array,
  from: number,
  weights: Float32Array,
  top: number,
  { first, step, steps, absolute }: AffineCandidates,
  levels: Uint8Array,
  scales: Float32Array,
  minima: Float32Array,
): void {
  const kernels = (compiled ??= compileKernels());
  const lanes = new Float32Array(kernels.memory.buffer);
  const n = weights.length / scales.length;
  const tries = places.tries / 4;
  lanes[tries] = top;
  for (let i = 0; i <= steps; i++) lanes[tries + 1 + i] = f(f(first + f(step * i)) + top);
  for (let group = 0; group < scales.length; group += 4) {
    const count = Math.min(4, scales.length - group);
    fill(lanes, x, from + group * n, weights, group * n, n, count);
    kernels[absolute ? 'affineByMagnitudes' : 'affineBySquares'](16 * n, 4 * (steps + 1));
    for (let lane = 0; lane < count; lane++) {
      scales[group + lane] = lanes[places.scale / 4 + lane]!;
      minima[group + lane] = lanes[places.minimum / 4 + lane]!;
    }
    drain(lanes, levels, group * n, n, count);
  }
}

/** Fits x = scale (q - half), with q from 0 to 2 half - 1, to consecutive groups that lie as for `fitAffine`. */
export function fitSymmetric(
  x: Float32Array,
  from: number,
  weights: Float32Array,
  half: number,
  levels: Uint8Array,
  scales: Float32Array,
): void {
  const kernels = (compiled ??= compileKernels());
  const lanes = new Float32Array(kernels.memory.buffer);
  const n = weights.length / scales.length;
  const tries = places.tries / 4;
  for (let i = 0; i < 19; i++) lanes[tries + i] = f(half + f(f(0.1) * (i === 0 ? 0 : i <= 9 ? i - 10 : i - 9)));
  for (let group = 0; group < scales.length; group += 4) {
    const count = Math.min(4, scales.length - group);
    fill(lanes, x, from + group * n, weights, group * n, n, count);
    kernels.symmetric(16 * n, 4 * 19);
    for (let lane = 0; lane < count; lane++) scales[group + lane] = lanes[places.scale / 4 + lane]!;
    drain(lanes, levels, group * n, n, count);
  }
}

/** Copies up to four groups into the lanes. Lanes without a group keep their old values, which are not read. */
function fill(
  lanes: Float32Array,
  x: Float32Array,
  from: number,
  weights: Float32Array,
  weightsFrom: number,
  n: number,
  count: number,
): void {
  for (let lane = 0; lane < count; lane++)
    for (let i = 0; i < n; i++) {
      lanes[4 * i + lane] = x[from + lane * n + i]!;
      lanes[places.weights / 4 + 4 * i + lane] = weights[weightsFrom + lane * n + i]!;
    }
}

function drain(lanes: Float32Array, levels: Uint8Array, to: number, n: number, count: number): void {
  for (let lane = 0; lane < count; lane++)
    for (let i = 0; i < n; i++) levels[to + lane * n + i] = lanes[places.levels / 4 + 4 * i + lane]!;
}

/** Returns the value with the largest magnitude of `n` values at `from`, the first of several. */
export function extreme(x: Float32Array, from: number, n: number): number {
  let found = 0;
  for (let i = from; i < from + n; i++) if (Math.abs(x[i]!) > Math.abs(found)) found = x[i]!;
  return found;
}

const signedLevels = new Int8Array(16);

/**
 * Does what `fitSymmetric` does, for Q3_K without importance: single levels are moved, in at most five rounds, while that
 * improves the fit.
 */
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

/**
 * Fits x = scale q with q from 0 to `top` and returns the scale. It serves the scales and minima of a super-block, none of
 * which is negative.
 */
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
