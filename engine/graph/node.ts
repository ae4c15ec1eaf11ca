/** Defines the elements of a graph: values, nodes in the vocabulary of ONNX, weights and constants. */
import type { DataType } from './dtype.ts';
import type { Shape } from './dim.ts';

/** Represents one tensor of a graph. Two values are the same tensor exactly when they are the same object. */
export interface Value {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
}

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  | { readonly graph: GraphParts };
export type Attributes = Readonly<Record<string, Attribute>>;

export interface Node {
  /** Gives the name of the node's type, a row of the table of node types. */
  readonly type: string;
  /** Gives the domain of the operator; '' is ONNX itself. */
  readonly domain: '' | 'com.microsoft';
  /** Gives the path in the model, so that profiles and errors say where the node is. */
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
  /**
   * Says whether it stays in float32 even if the rest of its graph is computed in another type. It is not written to the file.
   */
  readonly needsFloat32: boolean;
}

/** Locates the bytes of a frozen weight; they are never read here. */
export interface ExternalData {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}
export interface Weight {
  readonly value: Value;
  readonly data: ExternalData;
}
/** Holds a small tensor that is stored inside the model file; its numbers are kept exact until they are written. */
export interface Constant {
  readonly value: Value;
  readonly data: readonly number[];
}

/** Presents a graph to its readers, a whole one or the body of a loop. */
export interface GraphParts {
  readonly scopeName: string;
  readonly inputs: readonly Value[];
  /** Lists the optional inputs, with the shape that each has when it is not fed. */
  readonly emptyInputs: ReadonlyMap<Value, readonly number[]>;
  readonly outputs: ReadonlyMap<string, Value>;
  readonly nodes: readonly Node[];
  readonly weights: ReadonlyMap<string, Weight>;
  readonly constants: ReadonlyMap<string, Constant>;
}

/** Lists the graphs that a node runs, such as the body of a loop. */
export function bodiesOf({ attributes }: Pick<Node, 'attributes'>): GraphParts[] {
  return Object.values(attributes).flatMap((attribute) => ('graph' in attribute ? [attribute.graph] : []));
}

/** Lists the values a node reads: its inputs, and those that the bodies of its loops read from the graph around them. */
export function valuesRead(node: Node): readonly Value[] {
  const ofBodies = bodiesOf(node).flatMap(({ nodes, inputs, constants }) => {
    const own = new Set<Value>([...inputs, ...nodes.flatMap((inner) => inner.outputs)]);
    for (const { value } of constants.values()) own.add(value);
    return nodes.flatMap(valuesRead).filter((value) => !own.has(value));
  });
  return [...node.inputs, ...ofBodies];
}
