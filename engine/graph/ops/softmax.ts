/** Defines softmax over the last axis. */
import { defineOp, type PlainOp } from '../op.ts';
import { mul, sub } from './elementwise.ts';
import { reduceSum } from './reduce.ts';

// y = exp(x) / Σ exp(x)        dx = y ∘ (dy - Σ dy ∘ y)
export const softmax: PlainOp = defineOp({
  name: 'Softmax',
  forward: (g, [x]) => [g.node('Softmax', [x!], { axis: { int: -1 } })],
  backward: (g, { output: y, dy }) => [() => mul(g, [y, sub(g, [dy, reduceSum(g, [mul(g, [dy, y])], { axes: [-1] })])])],
});
