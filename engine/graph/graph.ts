/** A computation as typed nodes in the vocabulary of ONNX, with a tape of the operations that can be differentiated. */
import { assert } from '../problem.ts';

export type DataType = 'float32' | 'float16' | 'uint8' | 'int32' | 'int64' | 'bool';
/** A number, or the name of a dimension known only when the graph runs. */
export type Dim = number | string;
export type Shape = readonly Dim[];

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
  | { readonly graph: Graph };

export interface Node {
  readonly type: string;
  /** '' is ONNX itself. */
  readonly domain: '' | 'com.microsoft';
  /** Path in the model, so that a profile and an error say where. */
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
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

/** A differentiable step: how the gradient of its output becomes gradients of its inputs. */
export interface TapeEntry {
  readonly name: string;
  readonly scope: string;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** Builds gradients of exactly the inputs that are needed; the others stay null. */
  backward(dy: Value, needed: readonly boolean[]): (Value | null)[];
}

interface NodeOptions {
  readonly shape: Shape;
  readonly dtype?: DataType;
  readonly domain?: 'com.microsoft';
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export class Graph {
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
  #tape: TapeEntry[] | null = null;

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
    return value;
  }

  scalar(value: number): Value {
    return this.constant('float32', [], [value]);
  }

  /** int64 vector of a shape. Symbolic dimensions become graph inputs `dim.NAME`, int64 `[1]`, fed by whoever runs the graph. */
  shapeVector(shape: Shape): Value {
    const key = shape.join();
    const known = this.#shapeVectors.get(key);
    if (known !== undefined) return known;
    const symbols = shape.filter((dim) => typeof dim === 'string');
    let vector: Value;
    if (symbols.length === 0) vector = this.constant('int64', [shape.length], shape as number[]);
    else if (shape.length === 1) vector = this.#dimension(symbols[0]!);
    else {
      const parts = shape.map((dim) => (typeof dim === 'string' ? this.#dimension(dim) : this.constant('int64', [1], [dim])));
      vector = this.node('Concat', parts, { dtype: 'int64', shape: [shape.length], attributes: { axis: { int: 0 } } });
    }
    this.#shapeVectors.set(key, vector);
    return vector;
  }

  /** A symbolic dimension that the graph itself can tell, int64 `[1]`: it is not asked for as an input. */
  defineDimension(name: string, value: Value): void {
    this.#dimensions.set(name, value);
  }

  #dimension(name: string): Value {
    const defined = this.#dimensions.get(name);
    if (defined !== undefined) return defined;
    const inputName = `dim.${name}`;
    return this.inputs.find((input) => input.name === inputName) ?? this.input(inputName, 'int64', [1]);
  }

  node(type: string, inputs: readonly Value[], options: NodeOptions): Value {
    return this.nodeWithOutputs(type, inputs, [options], options)[0]!;
  }

  nodeWithOutputs(
    type: string,
    inputs: readonly Value[],
    outputs: readonly Pick<NodeOptions, 'shape' | 'dtype'>[],
    { domain, attributes }: Omit<NodeOptions, 'shape'> = {},
  ): Value[] {
    const name = this.#unique(type);
    const values = outputs.map(({ shape, dtype }, i) => ({
      name: i === 0 ? name : `${name}:${i}`,
      dtype: dtype ?? 'float32',
      shape,
    }));
    this.nodes.push({ type, domain: domain ?? '', name, inputs, outputs: values, attributes: attributes ?? {} });
    return values;
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

/** A gradient not yet built: calling it emits its nodes. A frozen input's is never called, so it costs no node. */
export type GradientThunk = () => Value;

export interface BackwardContext<A> {
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly attributes: A;
  /** What the forward kept for its gradient. */
  readonly saved: readonly Value[];
  readonly dy: Value;
}

export interface OpDefinition<A> {
  readonly name: string;
  /** Emits the nodes. The first value is the result, the others are kept for `backward`. */
  forward(g: Graph, inputs: readonly Value[], attributes: A): readonly [Value, ...Value[]];
  /** One thunk per input; null where there is no gradient by nature (an index). */
  backward(g: Graph, context: BackwardContext<A>): readonly (GradientThunk | null)[];
}

/** A differentiable operation; calling it adds it to a graph. */
export interface Op<A> {
  (g: Graph, inputs: readonly Value[], attributes: A): Value;
  readonly definition: OpDefinition<A>;
}
/** An operation without attributes. */
export interface PlainOp {
  (g: Graph, inputs: readonly Value[]): Value;
  readonly definition: OpDefinition<undefined>;
}

export function defineOp(definition: OpDefinition<undefined>): PlainOp;
export function defineOp<A>(definition: OpDefinition<A>): Op<A>;
export function defineOp<A>(definition: OpDefinition<A>): Op<A> {
  const op = (g: Graph, inputs: readonly Value[], attributes: A): Value => {
    // Operations inside an operation are its own affair: they leave no trace on the tape.
    const [output, ...saved] = g.record(() => definition.forward(g, inputs, attributes)).result;
    g.remember({
      name: definition.name,
      inputs,
      output,
      backward(dy, needed) {
        const thunks = definition.backward(g, { inputs, output, attributes, saved, dy });
        assert(thunks.length === inputs.length, `${definition.name}: ${thunks.length} gradients for ${inputs.length} inputs`);
        return thunks.map((thunk, i) => (needed[i] === true && thunk !== null ? thunk() : null));
      },
    });
    return output;
  };
  return Object.assign(op, { definition });
}

/** Shape of an elementwise operation, with NumPy's broadcasting. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    assert(x === y || x === 1 || y === 1, `shapes [${a.join()}] and [${b.join()}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

/** A dimension times `numerator / denominator`; `extent` reads the name it has when it is symbolic. */
export function share(dim: Dim, numerator: number, denominator: number): Dim {
  if (numerator === denominator) return dim;
  return typeof dim === 'number' ? (dim * numerator) / denominator : `${dim} ${numerator}/${denominator}`;
}

export type Dimensions = ReadonlyMap<string, number>;

/** A dimension as a number, where symbolic ones are `dims`. */
export function extent(dim: Dim, dims: Dimensions): number {
  if (typeof dim === 'number') return dim;
  const [, name, numerator, denominator] = /^(.*) (\d+)\/(\d+)$/.exec(dim) ?? [dim, dim, 1, 1];
  const value = dims.get(name!);
  assert(value !== undefined, `nobody says how large '${name}' is`);
  return (value * Number(numerator)) / Number(denominator);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** Axis counted from the front. */
export function positiveAxis(shape: Shape, axis: number): number {
  return axis < 0 ? axis + shape.length : axis;
}
