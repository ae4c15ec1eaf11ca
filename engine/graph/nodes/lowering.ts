/** Defines the tools of the rules that lower a node: a graph to build in, and the few nodes that they use. */
import { isFloat, type DataType } from '../dtype.ts';
import type { Dim, Shape } from '../dim.ts';
import type { Attributes, GraphParts, Value } from '../node.ts';
import { lastTwoSwapped } from './tensor.ts';

/** Represents a graph to which nodes are added. */
export interface Builder {
  node(type: string, inputs: readonly Value[], attributes?: Attributes, stated?: Shape): Value;
  nodeWithOutputs(type: string, inputs: readonly Value[], attributes?: Attributes, stated?: readonly Shape[]): Value[];
  constant(dtype: DataType, shape: readonly number[], data: readonly number[]): Value;
}

/** Represents a graph under construction whose sizes are all numbers. */
export interface Lowering {
  readonly g: Builder;
  shape(shape: Shape): number[];
  /**
   * Builds the bool `[rows, width]` that is true where a number below `width` equals the row's entry in `indices` `[rows, 1]`.
   */
  oneHot(indices: Value, width: number): Value;
  /** Adds one turn of a loop's body, which reads `inputs`, and returns its outputs. */
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

/** Casts integers to float32. */
export function asFloat(g: Builder, x: Value): Value {
  return isFloat(x.dtype) ? x : g.node('Cast', [x], { to: { int: 1 } });
}

/** Declares a number in the type of `x`. */
export function scalarFor(g: Builder, x: Value, value: number): Value {
  return g.constant(x.dtype, [], [value]);
}

/** Concatenates values along the first axis. */
export function joined(g: Builder, parts: readonly Value[]): Value {
  return parts.length === 1 ? parts[0]! : g.node('Concat', parts, { axis: { int: 0 } });
}

/** Splits x along its first axis into `count` values without that axis. */
export function slices(g: Builder, x: Value, count: number): readonly Value[] {
  const [, ...rest] = x.shape;
  const parts = count === 1 ? [x] : g.nodeWithOutputs('Split', [x], { axis: { int: 0 }, num_outputs: { int: count } });
  return parts.map((part) => reshape(g, part, rest));
}

/** Counts the elements of a shape of numbers. */
export const elements = (shape: readonly Dim[]): number => (shape as number[]).reduce((product, dim) => product * dim, 1);
