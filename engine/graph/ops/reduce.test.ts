import { expect, it } from 'vitest';
import { openSession } from '../../runtime/session.ts';
import { Graph } from '../graph.ts';
import { encodeModel } from '../onnx.ts';
import { sumOfMany } from './reduce.ts';

it('adds up the exponentials of a large vocabulary without losing the small ones', async () => {
  const words = 49_152;
  // One token stands out and the rest lie far below it, as the logits of a trained model do.
  const values = Float32Array.from({ length: 2 * words }, (_, i) =>
    i % words === 7 ? 1 : Math.exp(-8 - 4 * Math.sin(i) ** 2),
  );
  const g = new Graph();
  g.output('sum', sumOfMany(g, g.input('x', 'float32', ['rows', words])));
  const session = await openSession(encodeModel(g), { threads: 1, provider: 'cpu' });
  const { sum } = await session.run({ x: { type: 'float32', data: values, dims: [2, words] } });
  await session.release();
  expect(sum!.dims).toEqual([2, 1]);
  for (const row of [0, 1]) {
    const exact = values.subarray(row * words, (row + 1) * words).reduce((total, value) => total + value, 0);
    expect(Math.abs((sum!.data[row] as number) / exact - 1)).toBeLessThan(5e-7);
  }
});
