/** Against the same steps in torch with its exact SVD, on a matrix and a 4-bit quantizer written twice. */
import { expect, it } from 'vitest';
import { product } from './decompose.ts';
import { loftqStart } from './loftq.ts';

const [rows, columns, rank] = [48, 64, 4];
const values = Float64Array.from({ length: rows * columns }, (_, at) => {
  const [i, j] = [Math.floor(at / columns), at % columns];
  return Math.sin(1.3 * i * columns + 0.7 * j + 0.01 * ((i * j) % 97)) * (1 + (i % 5));
});

/** Blocks of 32 in 16 steps of an eighth of the largest element. */
function fourBits(x: Float64Array): Float64Array {
  const y = x.slice();
  for (let start = 0; start < y.length; start += 32) {
    const block = y.subarray(start, start + 32);
    const step = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0) / -8;
    block.forEach((value, i) => (block[i] = (Math.min(15, Math.max(0, Math.floor(value / step + 8.5))) - 8) * step));
  }
  return y;
}

const norm = (x: Float64Array): number => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

it.each([
  [1, 8.527174102667184, 6.780482020934651],
  [2, 8.869594771403769, 5.986160412833593],
  [5, 9.628510966457474, 5.495232017025027],
])('after %i rounds', async (rounds, lost, left) => {
  for (const scale of [1, 2.5]) {
    const start = await loftqStart({ rows, columns, values }, fourBits, { rank, scale, rounds, seed: 1 });
    const b = { rows, columns: rank, values: start.b };
    const low = product(b, { rows: rank, columns, values: start.a });
    expect(norm(values.map((value, i) => value - start.base[i]!))).toBeCloseTo(lost, 6);
    expect(norm(values.map((value, i) => value - start.base[i]! - scale * low.values[i]!))).toBeCloseTo(left, 6);
  }
});
