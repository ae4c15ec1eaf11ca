import { expect, it } from 'vitest';
import { threefry } from '../random.ts';
import {
  largestSingular,
  product,
  symmetricEigen,
  symmetricEigenvalues,
  thinQr,
  transpose,
  type LinearMap,
  type Matrix,
} from './decompose.ts';

function random(rows: number, columns: number, seed: number): Matrix {
  const values = Float64Array.from({ length: rows * columns }, (_, i) => threefry([seed, 0], [i, 0])[0] / 2 ** 31 - 1);
  return { rows, columns, values };
}
const mapOf = (w: Matrix): LinearMap => ({
  ...{ rows: w.rows, columns: w.columns },
  times: (x) => Promise.resolve(product(w, x)),
  transposedTimes: (y) => Promise.resolve(product(transpose(w), y)),
});
function difference(a: Matrix, b: Matrix): number {
  expect([a.rows, a.columns]).toEqual([b.rows, b.columns]);
  return a.values.reduce((most, value, i) => Math.max(most, Math.abs(value - b.values[i]!)), 0);
}
const identity = (n: number): Matrix => ({
  ...{ rows: n, columns: n },
  values: Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
});

it.each([
  [40, 60, 5],
  [300, 120, 6],
  [90, 7, 7],
])('the largest singular triplets of a %i x %i matrix', async (rows, columns, k) => {
  const w = random(rows, columns, 3);
  const { left, values, right } = await largestSingular(mapOf(w), k, 1, { tolerance: 1e-13 });
  expect(difference(product(transpose(left), left), identity(k))).toBeLessThan(1e-9);
  expect(difference(product(transpose(right), right), identity(k))).toBeLessThan(1e-9);
  // W v = σ u and Wᵀ u = σ v, and σ² are the largest eigenvalues of WᵀW.
  const scaled = (x: Matrix): Matrix => ({ ...x, values: x.values.map((value, i) => value * values[i % k]!) });
  expect(difference(product(w, right), scaled(left))).toBeLessThan(1e-5);
  expect(difference(product(transpose(w), left), scaled(right))).toBeLessThan(1e-5);
  const small = rows < columns ? product(w, transpose(w)) : product(transpose(w), w);
  const eigen = symmetricEigen(small).values;
  values.forEach((value, i) => expect(Math.abs(value ** 2 / eigen[i]! - 1)).toBeLessThan(1e-9));
});

it.each([1, 2, 3, 17, 40])('the eigenvalues of a %i-row matrix alone are those found with the vectors', (n) => {
  const half = random(n, Math.ceil(n / 2), 5);
  for (const symmetric of [product(half, transpose(half)), identity(n), { ...identity(n), values: new Float64Array(n * n) }]) {
    const { values } = symmetricEigen(symmetric);
    symmetricEigenvalues(symmetric).forEach((value, i) => expect(Math.abs(value - values[i]!)).toBeLessThan(1e-12 * n));
  }
});

it('a given number of rounds finds nearly the same', async () => {
  const w = random(120, 200, 4);
  const exact = await largestSingular(mapOf(w), 4, 1, { tolerance: 1e-13 });
  const rough = await largestSingular(mapOf(w), 4, 1, { rounds: 8 });
  rough.values.forEach((value, i) => expect(Math.abs(value / exact.values[i]! - 1)).toBeLessThan(0.02));
});

it.each([
  [20, 12, 5],
  [6, 30, 6],
])('the beginning of the QR of a %i x %i matrix', (rows, columns, k) => {
  const w = random(rows, columns, 5);
  const { q, r } = thinQr(w, k);
  expect(difference(product(transpose(q), q), identity(k))).toBeLessThan(1e-12);
  expect(difference(product(transpose(q), w), r)).toBeLessThan(1e-12);
  for (let row = 0; row < k; row++) {
    for (let column = 0; column < row; column++) expect(r.values[row * columns + column]).toBe(0);
    // LAPACK's signs: the first column of Q points against that of W.
    if (row === 0) expect(Math.sign(r.values[0]!)).toBe(-Math.sign(w.values[0]!));
  }
});
