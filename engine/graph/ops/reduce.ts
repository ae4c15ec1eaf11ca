/** Sums and means over axes, which stay with size 1 so that results broadcast back, and their opposite, repetition. */
import type { Graph, Op, PlainOp, Shape, Value } from '../graph.ts';
import { defineOp, positiveAxis } from '../graph.ts';
import { mul } from './elementwise.ts';

export interface ReduceAttributes {
  readonly axes: readonly number[];
}

export function reducedShape(shape: Shape, axes: readonly number[]): Shape {
  const reduced = new Set(axes.map((axis) => positiveAxis(shape, axis)));
  return shape.map((dim, i) => (reduced.has(i) ? 1 : dim));
}

function reduce(g: Graph, type: string, x: Value, axes: readonly number[]): Value {
  return g.node(type, [x, g.constant('int64', [axes.length], axes)], {
    shape: reducedShape(x.shape, axes),
    attributes: { keepdims: { int: 1 } },
  });
}

// y = Σ x        dx = dy, repeated
export const reduceSum: Op<ReduceAttributes> = defineOp<ReduceAttributes>({
  name: 'ReduceSum',
  forward: (g, [x], { axes }) => [reduce(g, 'ReduceSum', x!, axes)],
  backward: (g, { inputs: [x], dy }) => [() => expand(g, [dy], { shape: x!.shape })],
});

// y = Σ x / n over the last axis        dx = dy / n, repeated
export const meanOfLast: PlainOp = defineOp({
  name: 'ReduceMean',
  forward: (g, [x]) => [reduce(g, 'ReduceMean', x!, [-1])],
  backward: (g, { inputs: [x], dy }) => [
    () => mul(g, [expand(g, [dy], { shape: x!.shape }), g.scalar(1 / (x!.shape.at(-1) as number))]),
  ],
});

/** Largest element along the last axis. It only ever shifts an exponent, where its gradient cancels, so it has none. */
export function maxOfLast(g: Graph, x: Value): Value {
  return reduce(g, 'ReduceMax', x, [-1]);
}

// y = x repeated along its axes of size 1        dx = Σ dy over them
export const expand: Op<{ readonly shape: Shape }> = defineOp<{ readonly shape: Shape }>({
  name: 'Expand',
  forward: (g, [x], { shape }) => [g.node('Expand', [x!, g.shapeVector(shape)], { shape })],
  backward: (g, { inputs: [x], dy }) => [
    () => reduceSum(g, [dy], { axes: x!.shape.flatMap((dim, i) => (dim === dy.shape[i] ? [] : [i])) }),
  ],
});
