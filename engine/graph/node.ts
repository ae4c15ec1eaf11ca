/** What a graph is made of: values, nodes in the vocabulary of ONNX, weights and constants. */
import type { DataType } from './dtype.ts';
import type { Shape } from './dim.ts';

/** One tensor of a graph. Two values are the same tensor exactly when they are the same object. */
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
  /** A row of the table of node types. */
  readonly type: string;
  /** '' is ONNX itself. */
  readonly domain: '' | 'com.microsoft';
  /** Path in the model, so that a profile and an error say where. */
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
  /** Whether it stays in float32 whatever the rest of its graph is computed in. It is not written. */
  readonly needsFloat32: boolean;
}

/** Where the bytes of a frozen weight lie; they are never read here. */
export interface ExternalData {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}
export interface Weight {
  readonly value: Value;
  readonly data: ExternalData;
}
/** Small tensors live inside the model file; numbers are kept exact until they are written. */
export interface Constant {
  readonly value: Value;
  readonly data: readonly number[];
}

/** A graph as it is read: whole, or as the body of a loop. */
export interface GraphParts {
  readonly scopeName: string;
  readonly inputs: readonly Value[];
  /** Those that need not be fed, with the shape they then have. */
  readonly emptyInputs: ReadonlyMap<Value, readonly number[]>;
  readonly outputs: ReadonlyMap<string, Value>;
  readonly nodes: readonly Node[];
  readonly weights: ReadonlyMap<string, Weight>;
  readonly constants: ReadonlyMap<string, Constant>;
}

/** The graphs that a node runs: the body of a loop. */
export function bodiesOf({ attributes }: Pick<Node, 'attributes'>): GraphParts[] {
  return Object.values(attributes).flatMap((attribute) => ('graph' in attribute ? [attribute.graph] : []));
}

/** What a node reads: its inputs, and what the bodies of its loops take from the graph around them. */
export function valuesRead(node: Node): readonly Value[] {
  const ofBodies = bodiesOf(node).flatMap(({ nodes, inputs, constants }) => {
    const own = new Set<Value>([...inputs, ...nodes.flatMap((inner) => inner.outputs)]);
    for (const { value } of constants.values()) own.add(value);
    return nodes.flatMap(valuesRead).filter((value) => !own.has(value));
  });
  return [...node.inputs, ...ofBodies];
}
