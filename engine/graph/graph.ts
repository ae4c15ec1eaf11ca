/** Builds a computation of typed nodes in the vocabulary of ONNX, with a tape of the operations that can be differentiated. */
import { assert } from '../problem.ts';
import type { Dim, Shape } from './dim.ts';
import type { DataType } from './dtype.ts';
import type { Attributes, Constant, ExternalData, GraphParts, Node, Value, Weight } from './node.ts';
import { nodeType, outputsOf, type NodeTypeName } from './nodes/index.ts';
import type { Call, Output } from './nodes/node-type.ts';

/** Records a differentiable step, which turns the gradient of its output into gradients of its inputs. */
export interface TapeEntry {
  readonly name: string;
  readonly scope: string;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** Builds the gradients of exactly the inputs that are needed; the others are null. */
  backward(dy: Value, needed: readonly boolean[]): (Value | null)[];
}

/** Says what differs between a node and its copy. */
interface Copied {
  readonly inputs: readonly Value[];
  /** Gives the prefix of the copy's names. */
  readonly prefix?: string;
  readonly shapes?: readonly Shape[];
  readonly attributes?: Attributes;
}

export class Graph implements GraphParts {
  readonly inputs: Value[] = [];
  /** Holds the optional inputs, with the shape that each has when it is not fed. */
  readonly emptyInputs = new Map<Value, readonly number[]>();
  readonly outputs = new Map<string, Value>();
  readonly nodes: Node[] = [];
  readonly weights = new Map<string, Weight>();
  readonly constants = new Map<string, Constant>();

  #scope: string;
  readonly #names = new Map<string, number>();
  readonly #shapeVectors = new Map<string, Value>();
  readonly #dimensions = new Map<string, Value>();
  /** Holds the numbers or names of sizes that a value holds whenever the graph runs. */
  readonly #known = new Map<Value, Shape>();
  readonly #memos = new Map<Value, Map<string, unknown>>();
  #tape: TapeEntry[] | null = null;
  #needsFloat32 = false;

  /** `scope` is the path under which all names of this graph lie; a subgraph must not repeat names of the graph around it. */
  constructor(scope = '') {
    this.#scope = scope;
  }

  get scopeName(): string {
    return this.#scope;
  }

  /** Builds with `name` appended to the path of every node. */
  scope<T>(name: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = outer === '' ? name : `${outer}/${name}`;
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** Declares an optional input. When it is not fed, it has no elements and the shape `empty`. */
  optionalInput(name: string, dtype: DataType, shape: Shape, empty: readonly number[]): Value {
    const value = this.input(name, dtype, shape);
    this.emptyInputs.set(value, empty);
    return value;
  }

  input(name: string, dtype: DataType, shape: Shape): Value {
    const value = { name, dtype, shape };
    this.inputs.push(value);
    return value;
  }

  weight(name: string, shape: readonly number[], data: ExternalData, dtype: DataType = 'float32'): Value {
    const known = this.weights.get(name);
    if (known !== undefined) return known.value;
    const value: Value = { name, dtype, shape };
    this.weights.set(name, { value, data });
    return value;
  }

  constant(dtype: DataType, shape: readonly number[], data: readonly number[]): Value {
    const key = `${dtype}[${shape.join()}]:${data.join()}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known.value;
    const value = { name: this.#unique('constant'), dtype, shape };
    this.constants.set(key, { value, data });
    this.#known.set(value, data);
    return value;
  }

  scalar(value: number): Value {
    return this.constant('float32', [], [value]);
  }

  /**
   * Returns a shape as an int64 vector. Named sizes become inputs `dim.NAME`, int64 `[1]`, which the caller of the graph feeds.
   */
  shapeVector(shape: Shape): Value {
    const key = shape.join();
    const known = this.#shapeVectors.get(key);
    if (known !== undefined) return known;
    const vector = this.#vectorOf(shape);
    this.#shapeVectors.set(key, vector);
    this.#known.set(vector, shape);
    return vector;
  }

  #vectorOf(shape: Shape): Value {
    if (shape.every((dim) => typeof dim === 'number')) return this.constant('int64', [shape.length], shape);
    const parts = shape.map((dim) => (typeof dim === 'number' ? this.constant('int64', [1], [dim]) : this.#dimension(dim)));
    return parts.length === 1 ? parts[0]! : this.node('Concat', parts, { axis: { int: 0 } });
  }

  /** Defines a named size by a value of the graph, int64 `[1]`, so that it does not become an input. */
  defineDimension(name: string, value: Value): void {
    this.#dimensions.set(name, value);
    this.#known.set(value, [name]);
  }

  #dimension(dim: Exclude<Dim, number>): Value {
    assert(typeof dim === 'string', `nobody feeds a graph the size ${dim.toString()}`);
    const defined = this.#dimensions.get(dim);
    if (defined !== undefined) return defined;
    const inputName = `dim.${dim}`;
    const found = this.inputs.find((input) => input.name === inputName) ?? this.input(inputName, 'int64', [1]);
    this.#known.set(found, [dim]);
    return found;
  }

  /**
   * Returns the numbers of a constant, or the sizes in a vector of sizes, or null where they are not known before the graph
   * runs.
   */
  known(value: Value): Shape | null {
    return this.#known.get(value) ?? null;
  }

  /** Builds something from a value for a purpose on first use, and returns the same result from then on. */
  memo<T>(of: Value, purpose: string, build: () => T): T {
    const known = this.#memos.get(of) ?? new Map<string, unknown>();
    this.#memos.set(of, known);
    if (!known.has(purpose)) known.set(purpose, build());
    return known.get(purpose) as T;
  }

  /**
   * Builds nodes that stay in float32 even if the rest of the graph is computed in another type, because they square small
   * numbers or count beyond 2,048.
   */
  float32<T>(build: () => T): T {
    const outer = this.#needsFloat32;
    this.#needsFloat32 = true;
    try {
      return build();
    } finally {
      this.#needsFloat32 = outer;
    }
  }

  /** Adds a node with one result. `stated` is its shape, for the few types whose rule cannot know it. */
  node(type: NodeTypeName, inputs: readonly Value[], attributes: Attributes = {}, stated?: Shape): Value {
    return this.nodeWithOutputs(type, inputs, attributes, stated === undefined ? [] : [stated])[0]!;
  }

  nodeWithOutputs(
    type: NodeTypeName,
    inputs: readonly Value[],
    attributes: Attributes = {},
    stated: readonly (Shape | undefined)[] = [],
  ): Value[] {
    const name = this.#unique(type);
    const names = (i: number): string => (i === 0 ? name : `${name}:${i}`);
    const { domain, precision } = nodeType(type);
    const needsFloat32 = this.#needsFloat32 || precision === 'float32';
    return this.#added({ type, domain, name, inputs, attributes, needsFloat32 }, names, stated);
  }

  /** Adds a copy of a node with other inputs, which decide the types of its results. The node may belong to another graph. */
  copy(node: Node, { inputs, prefix = '', shapes, attributes = node.attributes }: Copied): Value[] {
    const stated = shapes ?? node.outputs.map(({ shape }) => shape);
    const names = (i: number): string => prefix + node.outputs[i]!.name;
    return this.#added({ ...node, name: prefix + node.name, inputs, attributes }, names, stated);
  }

  #added(
    { inputs, attributes, ...node }: Omit<Node, 'outputs'>,
    nameOf: (output: number) => string,
    stated: readonly (Shape | undefined)[],
  ): Value[] {
    const outputs = this.#outputs(node, { inputs, attributes, stated, known: (value) => this.known(value) }).map(
      (output, i) => ({ name: nameOf(i), ...output }),
    );
    this.nodes.push({ ...node, inputs, outputs, attributes });
    return outputs;
  }

  /** Returns the types and shapes of a node's results. It adds the path of the node to the error of a rule. */
  #outputs({ type, name }: Pick<Node, 'type' | 'name'>, call: Call): readonly Output[] {
    try {
      return outputsOf(type, call);
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  output(name: string, value: Value): void {
    assert(!this.outputs.has(name), `two outputs are called ${name}`);
    this.outputs.set(name, value);
  }

  /** Runs `build` and returns its result and the differentiable steps it took. */
  record<T>(build: () => T): { result: T; tape: TapeEntry[] } {
    const outer = this.#tape;
    const tape: TapeEntry[] = [];
    this.#tape = tape;
    try {
      return { result: build(), tape };
    } finally {
      this.#tape = outer;
    }
  }

  remember(entry: Omit<TapeEntry, 'scope'>): void {
    this.#tape?.push({ ...entry, scope: this.#scope });
  }

  #unique(type: string): string {
    const path = this.#scope === '' ? type : `${this.#scope}/${type}`;
    const count = this.#names.get(path) ?? 0;
    this.#names.set(path, count + 1);
    return count === 0 ? path : `${path}.${count}`;
  }
}
