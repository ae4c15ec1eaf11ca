/**
 * Decomposes matrices for the first values of adapters, in float64: the largest singular triplets and the first columns of QR.
 */
import { threefry } from '../random.ts';

/** Holds a matrix, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** Multiplies a matrix W [rows, columns] by narrow ones, wherever that is computed. */
export interface LinearMap {
  readonly rows: number;
  readonly columns: number;
  /** Computes W X for X [columns, k]. */
  times(x: Matrix): Promise<Matrix>;
  /** Computes Wᵀ Y for Y [rows, k]. */
  transposedTimes(y: Matrix): Promise<Matrix>;
}

export interface Singular {
  /** Holds the left singular vectors, `[rows, k]`. */
  readonly left: Matrix;
  /** Holds the singular values, in descending order. */
  readonly values: Float64Array;
  /** Holds the right singular vectors, `[columns, k]`. */
  readonly right: Matrix;
}

/** Gives the number of extra columns, because the subspace converges by the gap to the first singular value outside of it. */
const oversampling = 8;
const maxRounds = 200;

/**
 * Computes the `k` largest singular triplets by block Krylov iteration (Musco and Musco 2015), restarted with the best subspace
 * so far until no value moves by more than `tolerance` of the largest, or, when `rounds` are given, by that many rounds of
 * subspace iteration (Halko, Martinsson and Tropp 2011).
 */
export async function largestSingular(
  w: LinearMap,
  k: number,
  seed: number,
  { rounds, tolerance = 1e-9 }: { readonly rounds?: number; readonly tolerance?: number } = {},
): Promise<Singular> {
  const small = Math.min(w.rows, w.columns);
  const wanted = Math.min(k, small);
  const width = Math.min(wanted + oversampling, small);
  const blocks = rounds === undefined && 3 * width <= small ? 3 : 1;
  let subspace = orthonormal(await w.transposedTimes(gaussian(w.rows, width, seed)));
  let before: Float64Array | null = null;
  for (let round = 0; ; round++) {
    // Powers of WᵀW on the subspace, orthonormal together.
    let basis = subspace;
    let last = subspace;
    for (let block = 1; block < blocks; block++) {
      last = await w.transposedTimes(await w.times(last));
      basis = orthonormal(beside(basis, last));
      last = columnsOf(basis, basis.columns - width, width);
    }
    const image = await w.times(basis);
    // Within the basis the singular triplets are those of the image: eigenvectors of its Gram matrix.
    const { values, vectors } = symmetricEigen(product(transpose(image), image));
    const found = values.map((value) => Math.sqrt(Math.max(value, 0)));
    const right = product(basis, columnsOf(vectors, 0, width));
    const moved = before === null ? Infinity : largestDifference(before, found, wanted);
    before = found;
    const isDone = rounds === undefined ? moved <= tolerance * found[0]! || width === small : round >= rounds;
    if (isDone || round === maxRounds) {
      const left = orthonormalImage(product(image, columnsOf(vectors, 0, wanted)), found);
      return { left, values: found.slice(0, wanted), right: columnsOf(right, 0, wanted) };
    }
    subspace = orthonormal(await w.transposedTimes(product(image, columnsOf(vectors, 0, width))));
  }
}

/** Computes the first `k` columns of Q and rows of R of W = Q R, by Householder reflections with LAPACK's signs. */
export function thinQr(w: Matrix, k: number): { readonly q: Matrix; readonly r: Matrix } {
  const { rows, columns } = w;
  const steps = Math.min(k, rows, columns);
  const a = w.values.slice();
  const reflectors: Float64Array[] = [];
  for (let step = 0; step < steps; step++) {
    const v = new Float64Array(rows);
    let norm = 0;
    for (let row = step; row < rows; row++) {
      v[row] = a[row * columns + step]!;
      norm += v[row]! ** 2;
    }
    norm = Math.sqrt(norm);
    const sign = v[step]! < 0 ? -1 : 1;
    // A column that is already reduced is not reflected.
    const isDone = norm === Math.abs(v[step]!);
    v[step]! += sign * norm;
    if (isDone) v.fill(0);
    normalize(v);
    reflectors.push(v);
    reflect(a, rows, columns, v, step);
  }
  const q = new Float64Array(rows * steps);
  for (let i = 0; i < steps; i++) q[i * steps + i] = 1;
  for (let step = steps - 1; step >= 0; step--) reflect(q, rows, steps, reflectors[step]!, step);
  const r = new Float64Array(steps * columns);
  for (let row = 0; row < steps; row++)
    for (let column = row; column < columns; column++) r[row * columns + column] = a[row * columns + column]!;
  return { q: { rows, columns: steps, values: q }, r: { rows: steps, columns, values: r } };
}

/** Computes a - 2 v (vᵀ a) in place, where v is 0 above row `from`. */
function reflect(a: Float64Array, rows: number, columns: number, v: Float64Array, from: number): void {
  const along = new Float64Array(columns);
  for (let row = from; row < rows; row++)
    for (let column = 0; column < columns; column++) along[column]! += v[row]! * a[row * columns + column]!;
  for (let row = from; row < rows; row++)
    for (let column = 0; column < columns; column++) a[row * columns + column]! -= 2 * v[row]! * along[column]!;
}

/**
 * Computes the eigenvalues of a symmetric matrix, in descending order, and its eigenvectors as columns, by Jacobi rotations.
 */
export function symmetricEigen({ rows: n, values: given }: Matrix): {
  readonly values: Float64Array;
  readonly vectors: Matrix;
} {
  const a = given.slice();
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  const scale = a.reduce((sum, x) => sum + x * x, 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) off += a[i * n + j]! ** 2;
    if (off <= 1e-30 * scale) break;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const apq = a[p * n + q]!;
        if (apq === 0) continue;
        const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotateColumns(a, n, p, q, c, t * c);
        rotateRows(a, n, p, q, c, t * c);
        rotateColumns(v, n, p, q, c, t * c);
      }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]!);
  return {
    values: Float64Array.from(order, (i) => a[i * n + i]!),
    vectors: {
      rows: n,
      columns: n,
      values: Float64Array.from({ length: n * n }, (_, i) => v[Math.floor(i / n) * n + order[i % n]!]!),
    },
  };
}

/**
 * Computes the eigenvalues of a symmetric matrix alone, in descending order: Householder reflections make it tridiagonal, and
 * bisection finds each eigenvalue by how many lie below a point. It takes a small part of the time that the vectors take.
 */
export function symmetricEigenvalues(matrix: Matrix): Float64Array {
  const { diagonal, beside } = tridiagonal(matrix);
  const n = diagonal.length;
  const reach = diagonal.reduce(
    (most, value, i) => Math.max(most, Math.abs(value) + Math.abs(beside[i - 1] ?? 0) + Math.abs(beside[i] ?? 0)),
    0,
  );
  return Float64Array.from({ length: n }, (_, i) => {
    let [low, high] = [-reach, reach];
    // The width halves every time, until no float64 lies between the two.
    for (let middle = 0; middle !== low && middle !== high;) {
      if (countBelow(diagonal, beside, middle) >= n - i) high = middle;
      else low = middle;
      middle = (low + high) / 2;
      if (high - low <= 1e-17 * reach) break;
    }
    return (low + high) / 2;
  });
}

/** Returns how many eigenvalues of a tridiagonal matrix are smaller than `x`: the negative pivots of its LDLᵀ. */
function countBelow(diagonal: Float64Array, beside: Float64Array, x: number): number {
  let count = 0;
  let pivot = 1;
  for (let i = 0; i < diagonal.length; i++) {
    const share = i === 0 ? 0 : beside[i - 1]! ** 2 / pivot;
    pivot = diagonal[i]! - x - share;
    if (pivot === 0) pivot = Number.MIN_VALUE;
    if (pivot < 0) count++;
  }
  return count;
}

/** Brings a symmetric matrix to a tridiagonal one with the same eigenvalues. */
function tridiagonal({ rows: n, values }: Matrix): { readonly diagonal: Float64Array; readonly beside: Float64Array } {
  const a = values.slice();
  for (let k = 0; k + 2 < n; k++) {
    const v = new Float64Array(n);
    for (let i = k + 1; i < n; i++) v[i] = a[i * n + k]!;
    const length = Math.sqrt(dot(v, v));
    const reflected = v[k + 1]! < 0 ? length : -length;
    v[k + 1]! -= reflected;
    normalize(v);
    const p = new Float64Array(n);
    for (let i = k + 1; i < n; i++) for (let j = k + 1; j < n; j++) p[i]! += a[i * n + j]! * v[j]!;
    const along = dot(v, p);
    for (let i = k + 1; i < n; i++) p[i]! -= along * v[i]!;
    for (let i = k + 1; i < n; i++) for (let j = k + 1; j < n; j++) a[i * n + j]! -= 2 * (v[i]! * p[j]! + p[i]! * v[j]!);
    a[(k + 1) * n + k] = reflected;
  }
  return {
    diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!),
    beside: Float64Array.from({ length: Math.max(0, n - 1) }, (_, i) => a[(i + 1) * n + i]!),
  };
}

function rotateColumns(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i * n + p]!, a[i * n + q]!];
    a[i * n + p] = c * x - s * y;
    a[i * n + q] = s * x + c * y;
  }
}

function rotateRows(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[p * n + i]!, a[q * n + i]!];
    a[p * n + i] = c * x - s * y;
    a[q * n + i] = s * x + c * y;
  }
}

/** Orthonormalizes the columns by Gram-Schmidt, each twice; a column that depends on the others becomes 0. */
function orthonormal(x: Matrix): Matrix {
  const columns = Array.from({ length: x.columns }, (_, j) =>
    Float64Array.from({ length: x.rows }, (_, i) => x.values[i * x.columns + j]!),
  );
  columns.forEach((column, j) => {
    const before = Math.sqrt(dot(column, column));
    for (let pass = 0; pass < 2; pass++)
      for (let other = 0; other < j; other++) {
        const share = dot(column, columns[other]!);
        for (let i = 0; i < column.length; i++) column[i]! -= share * columns[other]![i]!;
      }
    if (Math.sqrt(dot(column, column)) <= 1e-12 * before) column.fill(0);
    normalize(column);
  });
  return fromColumns(columns);
}

/** Divides columns u σ by their σ. */
function orthonormalImage({ rows, columns, values }: Matrix, sigma: Float64Array): Matrix {
  return { rows, columns, values: values.map((value, i) => (sigma[i % columns]! > 0 ? value / sigma[i % columns]! : 0)) };
}

function gaussian(rows: number, columns: number, seed: number): Matrix {
  const values = Float64Array.from({ length: rows * columns }, (_, i) => {
    const [a, b] = threefry([seed, 0x535644], [i, 0]);
    return Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32)) * Math.cos((2 * Math.PI * b) / 2 ** 32);
  });
  return { rows, columns, values };
}

export function product(a: Matrix, b: Matrix): Matrix {
  const values = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let l = 0; l < a.columns; l++) {
      const factor = a.values[i * a.columns + l]!;
      const from = l * b.columns;
      const to = i * b.columns;
      for (let j = 0; j < b.columns; j++) values[to + j]! += factor * b.values[from + j]!;
    }
  return { rows: a.rows, columns: b.columns, values };
}

export function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = Float64Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
  return { rows: columns, columns: rows, values: turned };
}

function columnsOf({ rows, columns, values }: Matrix, first: number, count: number): Matrix {
  const chosen = Float64Array.from(
    { length: rows * count },
    (_, i) => values[Math.floor(i / count) * columns + first + (i % count)]!,
  );
  return { rows, columns: count, values: chosen };
}

function beside(a: Matrix, b: Matrix): Matrix {
  const columns = a.columns + b.columns;
  const values = new Float64Array(a.rows * columns);
  for (let i = 0; i < a.rows; i++) {
    values.set(a.values.subarray(i * a.columns, (i + 1) * a.columns), i * columns);
    values.set(b.values.subarray(i * b.columns, (i + 1) * b.columns), i * columns + a.columns);
  }
  return { rows: a.rows, columns, values };
}

function fromColumns(columns: readonly Float64Array[]): Matrix {
  const rows = columns[0]!.length;
  const width = columns.length;
  return {
    rows,
    columns: width,
    values: Float64Array.from({ length: rows * width }, (_, i) => columns[i % width]![Math.floor(i / width)]!),
  };
}

function largestDifference(a: Float64Array, b: Float64Array, count: number): number {
  return a.subarray(0, count).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function normalize(x: Float64Array): void {
  const length = Math.sqrt(dot(x, x));
  if (length > 0) for (let i = 0; i < x.length; i++) x[i]! /= length;
}
