/** Defines sums and means over axes, which keep size 1 so that results broadcast back, and their opposite, repetition. */
import { sameDim, type Dim, type Shape } from '../dim.ts';
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import type { NodeTypeName } from '../nodes/index.ts';
import { defineOp, type Op, type PlainOp } from '../op.ts';
import { mul } from './elementwise.ts';
import { reshape } from './shape.ts';

export interface ReduceAttributes {
  readonly axes: readonly number[];
}

function reduce(g: Graph, type: NodeTypeName, x: Value, axes: readonly number[]): Value {
  return g.node(type, [x, g.constant('int64', [axes.length], axes)], { keepdims: { int: 1 } });
}

// y = Σ x        dx = dy, repeated
export const reduceSum: Op<ReduceAttributes> = defineOp<ReduceAttributes>({
  name: 'ReduceSum',
  forward: (g, [x], { axes }) => [reduce(g, 'ReduceSum', x!, axes)],
  backward: (g, { inputs: [x], dy }) => [() => expand(g, [dy], { shape: x!.shape })],
});

/**
 * Builds the sum over the last axis of `[rows, n]`, in parts and then over the parts. The runtime adds one number after the
 * other in float32, where a term below half a unit in the last place of the sum so far is lost: over a vocabulary of 49,152 the
 * sum of a softmax, and with it every loss and gradient, came out too small by 1e-5 of itself. It has no gradient of its own.
 */
export function sumOfMany(g: Graph, x: Value): Value {
  const [rows, n] = x.shape as [Dim, number];
  let parts = Math.floor(Math.sqrt(n));
  while (n % parts !== 0) parts--;
  const partial = reduce(g, 'ReduceSum', reshape(g, [x], { shape: [rows, parts, n / parts] }), [-1]);
  return reduce(g, 'ReduceSum', reshape(g, [partial], { shape: [rows, parts] }), [-1]);
}

// y = Σ x / n over the last axis        dx = dy / n, repeated
export const meanOfLast: PlainOp = defineOp({
  name: 'ReduceMean',
  forward: (g, [x]) => [reduce(g, 'ReduceMean', x!, [-1])],
  backward: (g, { inputs: [x], dy }) => [
    () => mul(g, [expand(g, [dy], { shape: x!.shape }), g.scalar(1 / (x!.shape.at(-1) as number))]),
  ],
});

/**
 * Builds the largest element along the last axis. It only ever shifts an exponent, where its gradient cancels, so it has none.
 */
export function maxOfLast(g: Graph, x: Value): Value {
  return reduce(g, 'ReduceMax', x, [-1]);
}

// y = x repeated along its axes of size 1        dx = Σ dy over them
export const expand: Op<{ readonly shape: Shape }> = defineOp<{ readonly shape: Shape }>({
  name: 'Expand',
  forward: (g, [x], { shape }) => [g.node('Expand', [x!, g.shapeVector(shape)])],
  backward: (g, { inputs: [x], dy }) => [
    () => reduceSum(g, [dy], { axes: x!.shape.flatMap((dim, i) => (sameDim(dim, dy.shape[i]!) ? [] : [i])) }),
  ],
});
