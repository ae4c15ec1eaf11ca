/**
 * The same computation in the operators that every accelerator has: CUDA, DirectML and WebGPU at opset 21 (what each lacks stands in
 * docs/decisions/010-gpus-behind-gates.md). All sizes are known, so nothing is left to compute with shapes; loops are unrolled; whole
 * numbers are int32. The processor's graph is never changed.
 */
import { assert } from '../problem.ts';
import { Graph, type Dim, type Node, type Shape, type Value } from './graph.ts';
import { add, mul, sub } from './ops/elementwise.ts';
import { gemm } from './ops/matmul.ts';
import { reduceSum } from './ops/reduce.ts';
import { reshape, transpose } from './ops/shape.ts';

/** `sizes` are those of the dimensions that have names. */
export function lowered(graph: Graph, sizes: Readonly<Record<string, number>>): Graph {
  const lowering = new Lowering(graph, sizes);
  for (const node of graph.nodes) lowering.lower(node);
  for (const [name, value] of graph.outputs) lowering.g.output(name, lowering.of(value));
  return lowering.g;
}

/** What takes the place of a node; its results in order. */
type Rule = (lowering: Lowering, inputs: readonly Value[], node: Node) => readonly Value[];

class Lowering {
  readonly g = new Graph();
  readonly #sizes: Readonly<Record<string, number>>;
  /** What takes the place of each value so far. */
  readonly #places = new Map<Value, Value>();
  /** The numbers of constants, by what takes their place. */
  readonly #numbers = new Map<Value, readonly number[]>();
  readonly #oneHots = new Map<Value, Map<number, Value>>();
  /** Within an unrolled loop which turn it is. */
  #turn = '';

  constructor(graph: Graph, sizes: Readonly<Record<string, number>>) {
    this.#sizes = sizes;
    // RotaryEmbedding alone takes int64, as it comes.
    const positions = new Set(graph.nodes.filter(({ type }) => type === 'RotaryEmbedding').map(({ inputs }) => inputs[1]!));
    for (const input of graph.inputs) {
      const { name, dtype } = input;
      if (name.startsWith('dim.')) this.#places.set(input, this.constant('int64', [1], [this.size(name.slice(4))]));
      else {
        const own = dtype === 'int64' && !positions.has(input) ? 'int32' : dtype;
        this.#places.set(input, this.g.input(name, own, this.shape(input.shape)));
      }
    }
    for (const { value, data } of graph.weights.values())
      this.#places.set(value, this.g.weight(value.name, value.shape as number[], data, value.dtype));
    this.#adoptConstants(graph);
  }

  #adoptConstants({ constants }: Graph): void {
    for (const { value, data } of constants.values())
      this.#places.set(value, this.constant(value.dtype, value.shape as number[], data));
  }

  constant(dtype: Value['dtype'], shape: readonly number[], data: readonly number[]): Value {
    const value = this.g.constant(dtype, shape, data);
    this.#numbers.set(value, data);
    return value;
  }

  of(value: Value): Value {
    const place = this.#places.get(value);
    assert(place !== undefined, `${value.name} is read before it is lowered`);
    return place;
  }

  size(dim: Dim): number {
    if (typeof dim === 'number') return dim;
    const share = /^(.*) (\d+)\/(\d+)$/.exec(dim);
    if (share) return (this.size(share[1]!) * Number(share[2])) / Number(share[3]);
    const size = this.#sizes[dim];
    assert(size !== undefined, `the size of ${dim} is not known`);
    return size;
  }

  shape(shape: Shape): number[] {
    return shape.map((dim) => this.size(dim));
  }

  lower(node: Node): void {
    const inputs = node.inputs.map((input) => this.of(input));
    const rule = rules[node.type];
    const results =
      this.#folded(node, inputs) ??
      (rule ? this.g.scope(this.#turn + node.name, () => rule(this, inputs, node)) : this.#same(node, inputs));
    node.outputs.forEach((output, i) => this.#places.set(output, results[i]!));
  }

  #same(node: Node, inputs: readonly Value[]): readonly Value[] {
    const outputs = node.outputs.map(({ name, dtype, shape }) => ({
      name: this.#turn + name,
      // Whole numbers and bytes are what their lowered inputs are.
      dtype: dtype === 'int64' || dtype === 'uint8' ? inputs[0]!.dtype : dtype,
      shape: this.shape(shape),
    }));
    this.g.nodes.push({ ...node, name: this.#turn + node.name, inputs, outputs });
    return outputs;
  }

  /** Shapes put together are constants now. */
  #folded({ type, outputs: [output] }: Node, inputs: readonly Value[]): readonly Value[] | null {
    if (type !== 'Concat' || output!.dtype !== 'int64') return null;
    return [
      this.constant(
        'int64',
        this.shape(output!.shape),
        inputs.flatMap((input) => this.#numbers.get(input)!),
      ),
    ];
  }

  /** A body of a loop, once, reading `inputs`. */
  unrolled(body: Graph, turn: number, inputs: readonly Value[]): readonly Value[] {
    const outer = this.#turn;
    this.#turn = `${outer}turn ${turn}/`;
    this.#adoptConstants(body);
    body.inputs.forEach((input, i) => this.#places.set(input, inputs[i]!));
    for (const node of body.nodes) this.lower(node);
    this.#turn = outer;
    return [...body.outputs.values()].map((value) => this.of(value));
  }

  /** Whether each of `indices` `[rows, 1]` is each of the numbers below `width`: bool `[rows, width]`. */
  oneHot(indices: Value, width: number): Value {
    const known = this.#oneHots.get(indices) ?? new Map<number, Value>();
    this.#oneHots.set(indices, known);
    let found = known.get(width);
    if (found === undefined) {
      const numbers = this.g.constant(
        'int32',
        [1, width],
        Array.from({ length: width }, (_, i) => i),
      );
      found = this.g.node('Equal', [indices, numbers], { dtype: 'bool', shape: [indices.shape[0]!, width] });
      known.set(width, found);
    }
    return found;
  }
}

/** `[…, rows, columns]` as a stack of matrices. */
function stacked(g: Graph, x: Value, [stack, rows]: readonly [number, number]): Value {
  return reshape(g, [x], { shape: [stack, rows, x.shape.at(-1)!] });
}

const elements = (shape: Shape): number => (shape as number[]).reduce((product, dim) => product * dim, 1);

function swapped(g: Graph, x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  return transpose(g, [x], { permutation: [...axes.slice(0, -2), axes.length - 1, axes.length - 2] });
}

const asFloat = (g: Graph, x: Value): Value =>
  x.dtype === 'float32' ? x : g.node('Cast', [x], { shape: x.shape, attributes: { to: { int: 1 } } });

const int = (node: Node, name: string): number => {
  const attribute = node.attributes[name];
  return attribute !== undefined && 'int' in attribute ? attribute.int : 0;
};

const rules: Readonly<Record<string, Rule>> = {
  // A transposed copy, and where one matrix serves a group of others these become one of more rows: a stack of plain products.
  FusedMatMul(lowering, [a, b], node) {
    const { g } = lowering;
    const shape = lowering.shape(node.outputs[0]!.shape);
    const alpha = (node.attributes['alpha'] as { float: number }).float;
    const factor = (x: Value): Value => (alpha === 1 ? x : mul(g, [x, g.scalar(alpha)]));
    // Whichever is smallest is scaled.
    const sizes = [a!.shape, b!.shape, shape].map(elements);
    const smallest = sizes.indexOf(Math.min(...sizes));
    const left = int(node, 'transA') === 1 ? swapped(g, a!) : a!;
    const right = int(node, 'transB') === 1 ? swapped(g, b!) : b!;
    const [x, y] = [smallest === 0 ? factor(left) : left, smallest === 1 ? factor(right) : right];
    const stack = elements(y.shape.slice(0, -2));
    const rows = elements(shape.slice(0, -1)) / stack;
    // Stacks of y repeat for the leading dimensions of x only where y has size 1 at the end of them.
    const isGroup = y.shape.slice(0, -2).every((dim, i) => dim === x.shape[i] || y.shape.slice(i, -2).every((d) => d === 1));
    assert(isGroup && elements(x.shape.slice(0, -1)) === stack * rows, `${node.name}: stacks that do not fold`);
    const product = g.node('MatMul', [stacked(g, x, [stack, rows]), stacked(g, y, [stack, y.shape.at(-2) as number])], {
      shape: [stack, rows, shape.at(-1)!],
    });
    const whole = reshape(g, [product], { shape });
    return [smallest === 2 ? factor(whole) : whole];
  },

  // x[i, t] as Σ over j of [j = t] x[i, j]
  GatherElements(lowering, [x, indices]) {
    const { g } = lowering;
    const hit = lowering.oneHot(indices!, x!.shape[1] as number);
    const picked = g.node('Where', [hit, x!, g.scalar(0)], { shape: x!.shape });
    return [reduceSum(g, [picked], { axes: [-1] })];
  },
  ScatterElements(lowering, [x, indices, updates]) {
    const { g } = lowering;
    const hit = lowering.oneHot(indices!, x!.shape[1] as number);
    return [add(g, [x!, g.node('Where', [hit, updates!, g.scalar(0)], { shape: x!.shape })])];
  },
  // Rows that are added to rows, several to one maybe: the product with what row each goes to.
  ScatterND(lowering, [x, indices, updates]) {
    const { g } = lowering;
    const [rows, ...rest] = x!.shape as number[];
    const hit = asFloat(g, lowering.oneHot(indices!, rows!));
    const flat = reshape(g, [updates!], { shape: [updates!.shape[0]!, elements(rest)] });
    return [add(g, [x!, reshape(g, [gemm(g, [hit, flat], { transA: true })], { shape: x!.shape })])];
  },

  // Turn by turn. What is handed on comes before what is gone through, in inputs and outputs alike.
  Scan(lowering, inputs, node) {
    const { g } = lowering;
    const body = (node.attributes['body'] as { graph: Graph }).graph;
    const handed = inputs.length - int(node, 'num_scan_inputs');
    const turns = inputs[handed]!.shape[0] as number;
    const parts = inputs.slice(handed).map((input) => slices(g, input, turns));
    let states = inputs.slice(0, handed);
    const gathered: Value[][] = body.outputs.size === handed ? [] : [...body.outputs.values()].slice(handed).map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      const results = lowering.unrolled(body, turn, [...states, ...parts.map((part) => part[turn]!)]);
      states = results.slice(0, handed);
      results.slice(handed).forEach((result, i) => gathered[i]!.push(reshape(g, [result], { shape: [1, ...result.shape] })));
    }
    return [...states, ...gathered.map((results) => joined(g, results))];
  },

  // A byte q = 16 h + l in numbers that are exact: h = ⌊q / 16⌋, l = q - 16 h
  BitShift({ g }, [bytes]) {
    return [upperHalf(g, asFloat(g, bytes!))];
  },
  BitwiseAnd({ g }, [bytes]) {
    const whole = asFloat(g, bytes!);
    return [sub(g, [whole, mul(g, [upperHalf(g, whole), g.scalar(16)])])];
  },
  // (q - zero point) scale, each for a row
  DequantizeLinear({ g }, [q, scales, zeroPoints]) {
    const column = (x: Value): Value => reshape(g, [x], { shape: [x.shape[0]!, 1] });
    const numbers = asFloat(g, q!);
    const above = zeroPoints === undefined ? numbers : sub(g, [numbers, column(asFloat(g, zeroPoints))]);
    return [mul(g, [above, column(scales!)])];
  },
};

function upperHalf(g: Graph, x: Value): Value {
  return g.node('Floor', [mul(g, [x, g.scalar(1 / 16)])], { shape: x.shape });
}

/** The parts of x along its first axis, without that axis. */
function slices(g: Graph, x: Value, count: number): readonly Value[] {
  const [, ...rest] = x.shape;
  const split =
    count === 1
      ? [x]
      : g.nodeWithOutputs(
          'Split',
          [x],
          Array.from({ length: count }, () => ({ shape: [1, ...rest], dtype: x.dtype })),
          {
            attributes: { axis: { int: 0 }, num_outputs: { int: count } },
          },
        );
  return split.map((part) => reshape(g, [part], { shape: rest }));
}

function joined(g: Graph, parts: readonly Value[]): Value {
  const [, ...rest] = parts[0]!.shape;
  if (parts.length === 1) return parts[0]!;
  return g.node('Concat', parts, { shape: [parts.length, ...rest], attributes: { axis: { int: 0 } } });
}
