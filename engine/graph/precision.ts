/**
 * Converts a finished graph to half precision or bfloat16. Ops only say what must stay in float32, such as sums of many terms,
 * powers, norms and the loss. Inputs and outputs keep their types.
 */
import { assert } from '../problem.ts';
import { dataTypes, isFloat, type DataType, type FloatType } from './dtype.ts';
import { Graph } from './graph.ts';
import { bodiesOf, type Attribute, type Attributes, type GraphParts, type Node, type Value } from './node.ts';

/**
 * Returns the graph in another type, or itself for float32. The inputs of a node that `isIsland` accepts are cast to float32.
 */
export function inPrecision(
  graph: Graph,
  dtype: FloatType,
  isIsland: (node: Node) => boolean = (node) => node.needsFloat32,
): Graph {
  if (dtype === 'float32') return graph;
  const retyped = new Retyped(graph, dtype, isIsland);
  for (const node of graph.nodes) retyped.add(node);
  for (const [name, value] of graph.outputs) retyped.g.output(name, retyped.as(value, value.dtype));
  return retyped.g;
}

class Retyped {
  readonly g = new Graph();
  readonly #dtype: FloatType;
  readonly #isIsland: (node: Node) => boolean;
  /** Holds the value in the new graph that replaces each value so far; that of a float32 value may have the other type. */
  readonly #places = new Map<Value, Value>();
  readonly #constants = new Map<Value, readonly number[]>();

  constructor(graph: Graph, dtype: FloatType, isIsland: (node: Node) => boolean) {
    this.#dtype = dtype;
    this.#isIsland = isIsland;
    for (const input of graph.inputs) {
      const empty = graph.emptyInputs.get(input);
      const { name, dtype: own, shape } = input;
      const place = empty === undefined ? this.g.input(name, own, shape) : this.g.optionalInput(name, own, shape, empty);
      this.#places.set(input, place);
    }
    for (const [value, place] of adopted(graph, this.g)) this.#places.set(value, place);
    // Each is written in the types in which it is read.
    for (const { value, data } of graph.constants.values()) this.#constants.set(value, data);
  }

  /** Returns a value in a type: itself, or a cast that all its readers share. */
  as(value: Value, dtype: DataType): Value {
    const data = this.#constants.get(value);
    if (data !== undefined) return this.g.constant(dtype, value.shape as readonly number[], data);
    const place = this.#places.get(value);
    assert(place !== undefined, `${value.name} is read before it is there`);
    if (place.dtype === dtype) return place;
    const cast = () => this.g.scope('precision', () => this.g.node('Cast', [place], { to: { int: dataTypes[dtype].onnx } }));
    return this.g.memo(place, `as ${dtype}`, cast);
  }

  add(node: Node): void {
    const [input] = node.inputs;
    const [output] = node.outputs;
    if (node.type === 'Cast' && isFloat(input!.dtype) && output!.dtype === 'float32') {
      // A weight that is stored in few bits is read as it is, or widened as before where float32 is asked for.
      this.#places.set(output!, this.as(input!, this.#dtype));
      return;
    }
    const isIsland = bodiesOf(node).length > 0 || this.#isIsland(node);
    const inputs = node.inputs.map((value) =>
      this.as(value, isIsland || value.dtype !== 'float32' ? value.dtype : this.#dtype),
    );
    const attributes = withBodies(node, (body) => this.#body(body, new Map()));
    const results = this.g.copy(node, { inputs, attributes });
    node.outputs.forEach((value, i) => this.#places.set(value, results[i]!));
  }

  /** Returns the body of a loop, which stays in float32 and reads the new values of the graph around it. */
  #body(body: GraphParts, outer: ReadonlyMap<Value, Value>): Graph {
    const copy = new Graph(body.scopeName);
    const own = new Map(outer);
    for (const input of body.inputs) own.set(input, copy.input(input.name, input.dtype, input.shape));
    for (const [value, place] of adopted(body, copy)) own.set(value, place);
    for (const { value, data } of body.constants.values())
      own.set(value, copy.constant(value.dtype, value.shape as readonly number[], data));
    const of = (value: Value): Value => own.get(value) ?? this.as(value, value.dtype);
    for (const node of body.nodes) {
      const attributes = withBodies(node, (inner) => this.#body(inner, own));
      const results = copy.copy(node, { inputs: node.inputs.map(of), attributes });
      node.outputs.forEach((value, i) => own.set(value, results[i]!));
    }
    for (const [name, value] of body.outputs) copy.output(name, of(value));
    return copy;
  }
}

/** Declares the weights of a graph in another, and returns the pairs of old and new values. */
function adopted({ weights }: GraphParts, g: Graph): [Value, Value][] {
  return [...weights.values()].map(({ value, data }) => [
    value,
    g.weight(value.name, value.shape as readonly number[], data, value.dtype),
  ]);
}

/** Returns the attributes of a node with its graphs replaced. */
function withBodies({ attributes }: Node, replace: (body: GraphParts) => GraphParts): Attributes {
  const entries = Object.entries(attributes).map(([name, attribute]): [string, Attribute] => [
    name,
    'graph' in attribute ? { graph: replace(attribute.graph) } : attribute,
  ]);
  return Object.fromEntries(entries);
}
