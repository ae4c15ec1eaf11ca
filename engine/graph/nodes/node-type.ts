/** Defines a row of the table of node types, and reads attributes. */
import { assert } from '../../problem.ts';
import type { DataType } from '../dtype.ts';
import type { Shape } from '../dim.ts';
import type { Attribute, Attributes, GraphParts, Node, Value } from '../node.ts';
import type { Lowering } from './lowering.ts';
import type { Tensor } from './tensor.ts';

/** Describes a type of node of ONNX or ONNX Runtime, with everything that any part of the engine knows about it. */
export interface NodeType {
  readonly domain: Node['domain'];
  /** Returns the types and shapes of its results, or throws where it cannot take these inputs. */
  readonly outputs: OutputRule;
  /** Computes it in float64, or null where nothing tested by the interpreter has such nodes. */
  readonly kernel: Kernel | null;
  /**
   * Says where ONNX Runtime's planner puts its first result: `view` is the first input under another shape, `over-input` is
   * written over the first input if that is not read afterwards, and `own` has its own memory. The values were determined type
   * by type.
   */
  readonly memory: 'view' | 'over-input' | 'own';
  /**
   * Gives the cost of computing it again: `moves` only writes, `cheap` is one pass over memory, and the result of `dear` is
   * worth keeping.
   */
  readonly cost: 'moves' | 'cheap' | 'dear';
  /** Gives the rule that replaces it on accelerators; `same` where all of them have it. */
  readonly lowering: 'same' | LoweringRule;
  /** Gives the precision it needs: `any`, or `float32` for sums of many terms and powers. */
  readonly precision: 'any' | 'float32';
}

export interface Output {
  readonly dtype: DataType;
  readonly shape: Shape;
}

/** Describes a node before its results have types and shapes. */
export interface Call {
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  /** Gives the shapes that the caller states, by the index of the result. */
  readonly stated: readonly (Shape | undefined)[];
  /** Returns the numbers or names of sizes that a constant or a vector of sizes holds, or null for any other value. */
  readonly known: (value: Value) => Shape | null;
}

/** Returns the types and shapes of the results. A null shape is one that no rule can know, so that the call must state it. */
export type OutputRule = (call: Call) => readonly (Omit<Output, 'shape'> & { readonly shape: Shape | null })[];

/** Computes the results of a node in float64. `run` interprets the body of a loop and returns its outputs. */
export type Kernel = (
  inputs: readonly Tensor[],
  node: Node,
  run: (body: GraphParts, inputs: readonly Tensor[]) => readonly Tensor[],
) => readonly Tensor[];

/** Builds the replacement of a node and returns its results in order. */
export type LoweringRule = (lowering: Lowering, inputs: readonly Value[], node: Node) => readonly Value[];

/** Makes a kernel of a function with one result that needs only inputs and attributes. */
export const plain =
  (kernel: (inputs: readonly Tensor[], attributes: Attributes) => Tensor): Kernel =>
  (inputs, { attributes }) => [kernel(inputs, attributes)];

/** Gives one result the type and shape of the first input. */
export const likeFirst: OutputRule = ({ inputs: [x] }) => [{ dtype: x!.dtype, shape: x!.shape }];

export const int = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'int' in attribute ? attribute.int : otherwise;
export const float = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'float' in attribute ? attribute.float : otherwise;
export const ints = (attribute: Attribute | undefined): readonly number[] =>
  attribute !== undefined && 'ints' in attribute ? attribute.ints : [];

/** Returns the numbers of a constant input that a rule needs; an error where they are not known. */
export function knownNumbers(call: Call, input: number): readonly number[] {
  const value = call.inputs[input]!;
  const numbers = call.known(value);
  assert(numbers?.every((number) => typeof number === 'number') === true, `the numbers of ${value.name} are not known yet`);
  return numbers as readonly number[];
}

/** Returns the one type that all inputs must have. */
export function commonType(inputs: readonly Value[]): DataType {
  const [first, ...others] = inputs.map(({ dtype }) => dtype);
  assert(
    others.every((dtype) => dtype === first),
    `inputs of different types: ${inputs.map(({ name, dtype }) => `${name} is ${dtype}`).join(', ')}`,
  );
  return first!;
}
