/** What a row of the table of node types says, and how its attributes are read. */
import { assert } from '../../problem.ts';
import type { DataType } from '../dtype.ts';
import type { Shape } from '../dim.ts';
import type { Attribute, Attributes, GraphParts, Node, Value } from '../node.ts';
import type { Lowering } from './lowering.ts';
import type { Tensor } from './tensor.ts';

/** One type of node of ONNX or of ONNX Runtime, with everything that any part of the engine knows of it. */
export interface NodeType {
  readonly domain: Node['domain'];
  /** Types and shapes of its results, or an error where it cannot take these inputs. */
  readonly outputs: OutputRule;
  /** Computes it in float64. Null: nothing that is tested by the interpreter has such nodes. */
  readonly kernel: Kernel | null;
  /**
   * What ONNX Runtime's planner does with its first result: `view` is the first input under another shape, `over-input` is written over
   * the first input where nobody reads that afterwards. Found out type by type: sums and products, exp and the like are of their own.
   */
  readonly memory: 'view' | 'over-input' | 'own';
  /** What computing it again takes: `moves` computes nothing and still writes, `cheap` is one pass over memory, `dear` is worth keeping. */
  readonly cost: 'moves' | 'cheap' | 'dear';
  /** What takes its place on accelerators; `same` where all of them have it. */
  readonly lowering: 'same' | LoweringRule;
  /** Whether its results are good enough in half precision, or sums of many terms and powers need float32. */
  readonly precision: 'any' | 'float32';
}

export interface Output {
  readonly dtype: DataType;
  readonly shape: Shape;
}

/** A node before its results have types and shapes. */
export interface Call {
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  /** Shapes that whoever builds the node states, by the place of the result. */
  readonly stated: readonly (Shape | undefined)[];
  /** The numbers of a value that are known before the graph runs, maybe as names of sizes: of a constant or a vector of sizes; else null. */
  readonly known: (value: Value) => Shape | null;
}

/** A result without a shape has one that no rule can know: the call must state it. */
export type OutputRule = (call: Call) => readonly (Omit<Output, 'shape'> & { readonly shape: Shape | null })[];

/** `run` interprets the body of a loop: its outputs for these inputs. */
export type Kernel = (
  inputs: readonly Tensor[],
  node: Node,
  run: (body: GraphParts, inputs: readonly Tensor[]) => readonly Tensor[],
) => readonly Tensor[];

/** Builds what takes the place of a node, and returns its results in order. */
export type LoweringRule = (lowering: Lowering, inputs: readonly Value[], node: Node) => readonly Value[];

/** A kernel with one result that needs no more than its inputs and attributes. */
export const plain =
  (kernel: (inputs: readonly Tensor[], attributes: Attributes) => Tensor): Kernel =>
  (inputs, { attributes }) => [kernel(inputs, attributes)];

/** One result, of the type and shape of the first input. */
export const likeFirst: OutputRule = ({ inputs: [x] }) => [{ dtype: x!.dtype, shape: x!.shape }];

export const int = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'int' in attribute ? attribute.int : otherwise;
export const float = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'float' in attribute ? attribute.float : otherwise;
export const ints = (attribute: Attribute | undefined): readonly number[] =>
  attribute !== undefined && 'ints' in attribute ? attribute.ints : [];

/** Numbers of a constant that a rule cannot do without. */
export function knownNumbers(call: Call, input: number): readonly number[] {
  const value = call.inputs[input]!;
  const numbers = call.known(value);
  assert(numbers?.every((number) => typeof number === 'number') === true, `the numbers of ${value.name} are not known yet`);
  return numbers as readonly number[];
}

/** All inputs must have one type. */
export function commonType(inputs: readonly Value[]): DataType {
  const [first, ...others] = inputs.map(({ dtype }) => dtype);
  assert(
    others.every((dtype) => dtype === first),
    `inputs of different types: ${inputs.map(({ name, dtype }) => `${name} is ${dtype}`).join(', ')}`,
  );
  return first!;
}
