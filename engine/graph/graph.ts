/** A computation as typed nodes in the vocabulary of ONNX, with a tape of the operations that can be differentiated. */
import { assert } from '../problem.ts';
import type { Dim, Shape } from './dim.ts';
import type { DataType } from './dtype.ts';
import type { Attributes, Constant, ExternalData, GraphParts, Node, Value, Weight } from './node.ts';
import { nodeType, outputsOf, type NodeTypeName } from './nodes/index.ts';
import type { Call, Output } from './nodes/node-type.ts';

// What whoever builds a graph speaks of, beside the graph itself.
export type { Dim, Dimensions, Shape } from './dim.ts';
export type { DataType } from './dtype.ts';
export type { ExternalData, Node, Value } from './node.ts';

/** A differentiable step: how the gradient of its output becomes gradients of its inputs. */
export interface TapeEntry {
  readonly name: string;
  readonly scope: string;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** Builds gradients of exactly the inputs that are needed; the others stay null. */
  backward(dy: Value, needed: readonly boolean[]): (Value | null)[];
}

/** What of a node is another in its copy. */
interface Copied {
  readonly inputs: readonly Value[];
  /** Stands before its names. */
  readonly prefix?: string;
  readonly shapes?: readonly Shape[];
  readonly attributes?: Attributes;
}

export class Graph implements GraphParts {
  readonly inputs: Value[] = [];
  /** Those that need not be fed, with the shape they then have. */
  readonly emptyInputs = new Map<Value, readonly number[]>();
  readonly outputs = new Map<string, Value>();
  readonly nodes: Node[] = [];
  readonly weights = new Map<string, Weight>();
  readonly constants = new Map<string, Constant>();

  #scope: string;
  readonly #names = new Map<string, number>();
  readonly #shapeVectors = new Map<string, Value>();
  readonly #dimensions = new Map<string, Value>();
  /** Numbers or names of sizes that a value holds whenever the graph runs. */
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

  /** An input that needs not be fed: then it is empty, of this shape with no elements. */
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

  /** int64 vector of a shape. Named sizes become graph inputs `dim.NAME`, int64 `[1]`, fed by whoever runs the graph. */
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

  /** A named size that the graph itself can tell, int64 `[1]`: it is not asked for as an input. */
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

  /** The numbers of a constant, or the sizes in a vector of them; null where they are not known before the graph runs. */
  known(value: Value): Shape | null {
    return this.#known.get(value) ?? null;
  }

  /** What was built of a value for a purpose, built when it is first asked for: whoever asks again shares it. */
  memo<T>(of: Value, purpose: string, build: () => T): T {
    const known = this.#memos.get(of) ?? new Map<string, unknown>();
    this.#memos.set(of, known);
    if (!known.has(purpose)) known.set(purpose, build());
    return known.get(purpose) as T;
  }

  /** Builds nodes that stay in float32 whatever the rest of the graph is computed in: they square small numbers, or count beyond 2,048. */
  float32<T>(build: () => T): T {
    const outer = this.#needsFloat32;
    this.#needsFloat32 = true;
    try {
      return build();
    } finally {
      this.#needsFloat32 = outer;
    }
  }

  /** Adds a node of one result. `stated` is its shape, for the few types whose rule cannot know it. */
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

  /** Adds a node like one of another graph or place, with other inputs: its results have the types that follow from those. */
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

  /** The error of a rule says what does not fit; where, only the graph knows. */
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

  /** Runs `build` and returns, beside its result, the differentiable steps it took. */
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
