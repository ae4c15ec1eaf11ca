/** Numbers drawn in a graph: as random as dropout needs them, the same on every runtime, and the same in backward as in forward. */
import { expect, it } from 'vitest';
import { threefry } from '../../random.ts';
import { openSession } from '../../runtime/session.ts';
import { interpret } from '../interpret.ts';
import { gradients } from '../gradient.ts';
import { Graph } from '../graph.ts';
import { encodeModel } from '../onnx.ts';
import { dropout, uniformNoise, type RowKeys } from './random.ts';

const [rows, width] = [512, 192];
const keysOf = (step: number) =>
  [0, 1].map((word) => Int32Array.from({ length: rows }, (_, row) => threefry([7, step], [row, 0])[word]! | 0));

function inputs(g: Graph): RowKeys {
  return [g.input('first', 'int32', ['rows', 1]), g.input('second', 'int32', ['rows', 1])];
}

async function run(g: Graph, step: number, x = new Float32Array(rows * width).fill(1)): Promise<Record<string, Float32Array>> {
  const session = await openSession(encodeModel(g), { threads: 1, provider: 'cpu' });
  const [first, second] = keysOf(step);
  const feeds = {
    x: { type: 'float32', data: x, dims: [rows, width] },
    first: { type: 'int32', data: first!, dims: [rows, 1] },
    second: { type: 'int32', data: second!, dims: [rows, 1] },
  } as const;
  const found = await session.run(Object.fromEntries(g.inputs.map(({ name }) => [name, feeds[name as keyof typeof feeds]])));
  await session.release();
  return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data as Float32Array]));
}

/** Deviation of a sum of `count` coin tosses of chance `rate` from its mean, in standard deviations. */
const deviation = (sum: number, count: number, rate: number): number =>
  Math.abs(sum - count * rate) / Math.sqrt(count * rate * (1 - rate));

it('drops the asked share, evenly over rows and columns, independently of neighbours, modules and steps', async () => {
  const rate = 0.3;
  const masks = async (step: number) => {
    const g = new Graph();
    const x = g.input('x', 'float32', ['rows', width]);
    const keys = inputs(g);
    for (const name of ['a', 'b']) g.output(name, dropout(g, [x, ...keys], { rate, name }));
    const found = await run(g, step);
    expect(found['a']!.every((value) => value === 0 || Math.abs(value - 1 / (1 - rate)) < 1e-6)).toBe(true);
    return [found['a']!, found['b']!].map((values) => values.map((value) => (value === 0 ? 1 : 0)));
  };
  const [a, b] = (await masks(0)) as [Float32Array, Float32Array];
  const [later] = (await masks(1)) as [Float32Array, Float32Array];
  const total = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0);
  expect(deviation(total(a), a.length, rate)).toBeLessThan(4);
  for (let row = 0; row < rows; row++)
    expect(deviation(total(a.subarray(row * width, (row + 1) * width)), width, rate), `row ${row}`).toBeLessThan(5);
  for (let column = 0; column < width; column++)
    expect(deviation(total(a.filter((_, i) => i % width === column)), rows, rate), `column ${column}`).toBeLessThan(5);
  // Both of a pair are dropped as often as chance has it, and so are both and none of a square of four.
  const together = (other: (i: number) => number | undefined): number => {
    const pairs = [...a].flatMap((value, i) => (other(i) === undefined ? [] : [value * other(i)!]));
    return deviation(total(Float32Array.from(pairs)), pairs.length, rate * rate);
  };
  for (const shift of [1, 2, 7, width, 2 * width, width + 1])
    expect(
      together((i) => a[i + shift]),
      `${shift}`,
    ).toBeLessThan(4.5);
  expect(together((i) => b[i])).toBeLessThan(4);
  expect(together((i) => later[i])).toBeLessThan(4);
  const squares = [...a].flatMap((value, i) => {
    const [right, below, across] = [a[i + 5], a[i + 3 * width], a[i + 3 * width + 5]];
    return across === undefined ? [] : [(value + right! + below! + across) % 2];
  });
  const odd = (1 - (1 - 2 * rate) ** 4) / 2;
  expect(deviation(total(Float32Array.from(squares)), squares.length, odd)).toBeLessThan(4.5);
});

it('has one mask in forward and backward, and the same one whoever computes it', async () => {
  const g = new Graph();
  const x = g.input('x', 'float32', ['rows', width]);
  const keys = inputs(g);
  const { result, tape } = g.record(() => dropout(g, [x, ...keys], { rate: 0.5, name: 'a' }));
  g.output('y', result);
  g.output('dx', gradients(g, tape, result, x, [x])[0]!);
  const found = await run(g, 3);
  expect(found['y']).toEqual(found['dx']);
  const [first, second] = keysOf(3).map((data) => ({ dims: [rows, 1], data: Float64Array.from(data) }));
  const ones = { dims: [rows, width], data: new Float64Array(rows * width).fill(1) };
  expect([...interpret(g, { x: ones, first: first!, second: second! })['y']!.data]).toEqual([...found['y']!]);
});

it('draws noise evenly within its limit', async () => {
  const g = new Graph();
  g.output('noise', uniformNoise(g, inputs(g), 'noise', width, g.constant('float32', [1, 1], [0.25])));
  const noise = (await run(g, 0))['noise']!;
  const mean = noise.reduce((sum, value) => sum + value, 0) / noise.length;
  const square = noise.reduce((sum, value) => sum + value * value, 0) / noise.length;
  expect(noise.every((value) => Math.abs(value) <= 0.25)).toBe(true);
  expect(Math.abs(mean)).toBeLessThan(0.002);
  expect(Math.abs(square / (0.25 ** 2 / 3) - 1)).toBeLessThan(0.02);
});
