/** What the rules that lower a node are written with: a graph to build in, and the handful of nodes they are made of. */
import { isFloat, type DataType } from '../dtype.ts';
import type { Dim, Shape } from '../dim.ts';
import type { Attributes, GraphParts, Value } from '../node.ts';
import { lastTwoSwapped } from './tensor.ts';

/** A graph that nodes are added to. */
export interface Builder {
  node(type: string, inputs: readonly Value[], attributes?: Attributes, stated?: Shape): Value;
  nodeWithOutputs(type: string, inputs: readonly Value[], attributes?: Attributes, stated?: readonly Shape[]): Value[];
  constant(dtype: DataType, shape: readonly number[], data: readonly number[]): Value;
}

/** A graph in the making whose sizes are all numbers. */
export interface Lowering {
  readonly g: Builder;
  shape(shape: Shape): number[];
  /** Whether each of `indices` `[rows, 1]` is each of the numbers below `width`: bool `[rows, width]`. */
  oneHot(indices: Value, width: number): Value;
  /** A body of a loop, once, reading `inputs`. */
  unrolled(body: GraphParts, turn: number, inputs: readonly Value[]): readonly Value[];
}

export const add = (g: Builder, a: Value, b: Value): Value => g.node('Add', [a, b]);
export const sub = (g: Builder, a: Value, b: Value): Value => g.node('Sub', [a, b]);
export const mul = (g: Builder, a: Value, b: Value): Value => g.node('Mul', [a, b]);

export function reshape(g: Builder, x: Value, shape: Shape): Value {
  return g.node('Reshape', [x, g.constant('int64', [shape.length], shape as number[])], {}, shape);
}

export function swapped(g: Builder, x: Value): Value {
  return g.node('Transpose', [x], { perm: { ints: lastTwoSwapped(x.shape.length) } });
}

/** Whole numbers as float32. */
export function asFloat(g: Builder, x: Value): Value {
  return isFloat(x.dtype) ? x : g.node('Cast', [x], { to: { int: 1 } });
}

/** A number of the type of what it meets. */
export function scalarFor(g: Builder, x: Value, value: number): Value {
  return g.constant(x.dtype, [], [value]);
}

/** Values laid one after another along a new or the first axis. */
export function joined(g: Builder, parts: readonly Value[]): Value {
  return parts.length === 1 ? parts[0]! : g.node('Concat', parts, { axis: { int: 0 } });
}

/** The parts of x along its first axis, without that axis. */
export function slices(g: Builder, x: Value, count: number): readonly Value[] {
  const [, ...rest] = x.shape;
  const parts = count === 1 ? [x] : g.nodeWithOutputs('Split', [x], { axis: { int: 0 }, num_outputs: { int: count } });
  return parts.map((part) => reshape(g, part, rest));
}

/** Elements of a shape of numbers. */
export const elements = (shape: readonly Dim[]): number => (shape as number[]).reduce((product, dim) => product * dim, 1);
