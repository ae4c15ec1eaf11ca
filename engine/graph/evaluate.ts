/** Evaluates a graph node by node in float64: slow, plain, and what tests hold the runtime and the gradient rules against. */
import { assert } from '../problem.ts';
import type { Attribute, Graph, Node, Value } from './graph.ts';

export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

type Kernel = (inputs: readonly Tensor[], attributes: Readonly<Record<string, Attribute>>) => Tensor;

/** Values of all outputs. `outer` holds the values a subgraph may read from the graph around it. */
export function evaluate(
  graph: Graph,
  feeds: Readonly<Record<string, Tensor>>,
  outer: ReadonlyMap<Value, Tensor> = new Map(),
): Record<string, Tensor> {
  const known = new Map(outer);
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    assert(feed !== undefined, `no value for input ${input.name}`);
    known.set(input, feed);
  }
  for (const { value, data } of graph.constants.values()) {
    known.set(value, { dims: value.shape as number[], data: Float64Array.from(data) });
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => {
      const tensor = known.get(input);
      assert(tensor !== undefined, `${node.name} reads ${input.name} before it is there`);
      return tensor;
    });
    const outputs =
      node.type === 'Scan'
        ? scan(node, inputs, known)
        : node.type === 'Split'
          ? split(node, inputs[0]!)
          : [kernel(node)(inputs, node.attributes)];
    node.outputs.forEach((output, i) => known.set(output, checked(node, output, outputs[i]!)));
  }
  return Object.fromEntries([...graph.outputs].map(([name, value]) => [name, known.get(value)!]));
}

/** A node must give the shape it promised. */
function checked(node: Node, { shape }: Value, tensor: Tensor): Tensor {
  const fits =
    shape.length === tensor.dims.length && shape.every((dim, i) => typeof dim === 'string' || dim === tensor.dims[i]);
  assert(fits, `${node.name} promised [${shape.join()}] and gave [${tensor.dims.join()}]`);
  assert(size(tensor.dims) === tensor.data.length, `${node.name}: ${tensor.data.length} elements for [${tensor.dims.join()}]`);
  return tensor;
}

function kernel(node: Node): Kernel {
  const found = (node.outputs[0]!.dtype === 'int32' ? int32Kernels[node.type] : undefined) ?? kernels[node.type];
  assert(found !== undefined, `the evaluator does not know ${node.type}`);
  return found;
}

const size = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
const int = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'int' in attribute ? attribute.int : otherwise;
const float = (attribute: Attribute | undefined, otherwise: number): number =>
  attribute !== undefined && 'float' in attribute ? attribute.float : otherwise;
const ints = (attribute: Attribute | undefined): readonly number[] =>
  attribute !== undefined && 'ints' in attribute ? attribute.ints : [];

/** Index of every element of `dims`, read from a tensor whose axes of size 1 repeat. */
function repeated({ dims: own, data }: Tensor, dims: readonly number[]): Float64Array {
  const strides = stridesOf(own);
  return Float64Array.from({ length: size(dims) }, (_, flat) => {
    let index = 0;
    for (let axis = dims.length - 1, rest = flat; axis >= 0; axis--) {
      const at = rest % dims[axis]!;
      rest = (rest - at) / dims[axis]!;
      const ownAxis = axis - dims.length + own.length;
      if (ownAxis >= 0 && own[ownAxis] !== 1) index += at * strides[ownAxis]!;
    }
    return data[index]!;
  });
}

function stridesOf(dims: readonly number[]): number[] {
  return dims.map((_, axis) => size(dims.slice(axis + 1)));
}

const binary =
  (f: (a: number, b: number) => number): Kernel =>
  ([a, b]) => {
    const rank = Math.max(a!.dims.length, b!.dims.length);
    const dims = Array.from({ length: rank }, (_, i) => {
      const x = a!.dims[i - rank + a!.dims.length] ?? 1;
      return x === 1 ? (b!.dims[i - rank + b!.dims.length] ?? 1) : x;
    });
    const right = repeated(b!, dims);
    return { dims, data: repeated(a!, dims).map((x, i) => f(x, right[i]!)) };
  };
const unary =
  (f: (x: number) => number): Kernel =>
  ([x]) => ({ dims: x!.dims, data: x!.data.map(f) });

/** Abramowitz and Stegun's series and continued fraction would do; the integral by Simpson's rule is exact enough and plain. */
function erf(x: number): number {
  const steps = 2000;
  const width = x / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.exp(-((i * width) ** 2));
  }
  return ((2 / Math.sqrt(Math.PI)) * sum * width) / 3;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Reduces the axes named by the second input. */
const reduce =
  (f: (values: number[]) => number): Kernel =>
  ([x, axes], { keepdims }) => {
    const dims = x!.dims;
    const reduced = new Set([...axes!.data].map((axis) => (axis < 0 ? axis + dims.length : axis)));
    const kept = dims.map((dim, i) => (reduced.has(i) ? 1 : dim));
    const keptStrides = stridesOf(kept);
    const strides = stridesOf(dims);
    const groups = Array.from({ length: size(kept) }, (): number[] => []);
    x!.data.forEach((value, flat) => {
      const to = dims.reduce(
        (sum, dim, i) => sum + (reduced.has(i) ? 0 : (Math.floor(flat / strides[i]!) % dim) * keptStrides[i]!),
        0,
      );
      groups[to]!.push(value);
    });
    return { dims: int(keepdims, 1) === 1 ? kept : dims.filter((_, i) => !reduced.has(i)), data: Float64Array.from(groups, f) };
  };
const total = (values: number[]): number => values.reduce((sum, x) => sum + x, 0);

function transposed({ dims, data }: Tensor, permutation: readonly number[]): Tensor {
  const to = permutation.map((axis) => dims[axis]!);
  const from = stridesOf(dims);
  const strides = stridesOf(to);
  return {
    dims: to,
    data: Float64Array.from({ length: data.length }, (_, flat) => {
      const index = to.reduce((sum, dim, i) => sum + (Math.floor(flat / strides[i]!) % dim) * from[permutation[i]!]!, 0);
      return data[index]!;
    }),
  };
}

function swapped(x: Tensor): Tensor {
  const axes = x.dims.map((_, i) => i);
  return transposed(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
}

const product: Kernel = ([a, b, c], { transA, transB, alpha }) => {
  const left = int(transA, 0) === 1 ? swapped(a!) : a!;
  const right = int(transB, 0) === 1 ? swapped(b!) : b!;
  const [m, k] = left.dims.slice(-2) as [number, number];
  const n = right.dims.at(-1)!;
  const stacks = left.dims.slice(0, -2).map((dim, i) => Math.max(dim, right.dims[i]!));
  const dims = [...stacks, m, n];
  const [x, y] = [repeated(left, [...stacks, m, k]), repeated(right, [...stacks, k, n])];
  const data = new Float64Array(size(dims));
  for (let stack = 0; stack < size(stacks); stack++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += x[(stack * m + i) * k + l]! * y[(stack * k + l) * n + j]!;
        data[(stack * m + i) * n + j] = float(alpha, 1) * sum;
      }
  return c === undefined ? { dims, data } : { dims, data: repeated(c, dims).map((x, i) => x + data[i]!) };
};

/** Arithmetic modulo 2³². */
const int32Kernels: Readonly<Record<string, Kernel>> = {
  Add: binary((a, b) => (a + b) | 0),
  Mul: binary(Math.imul),
};

/** Applies `f` to every vector along the last axis. */
function alongLast({ dims, data }: Tensor, f: (row: Float64Array) => Float64Array): Tensor {
  const width = dims.at(-1)!;
  const result = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += width) result.set(f(data.slice(start, start + width)), start);
  return { dims, data: result };
}

const kernels: Readonly<Record<string, Kernel>> = {
  Identity: unary((x) => x),
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Neg: unary((x) => -x),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Reciprocal: unary((x) => 1 / x),
  Sqrt: unary(Math.sqrt),
  Sigmoid: unary(sigmoid),
  Tanh: unary(Math.tanh),
  Erf: unary(erf),
  Relu: unary((x) => Math.max(x, 0)),
  Sign: unary(Math.sign),
  Floor: unary(Math.floor),
  Gelu: unary((x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2),
  FastGelu: unary((x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2),
  Equal: binary((a, b) => (a === b ? 1 : 0)),
  Clip: ([x, low, high]) => ({ dims: x!.dims, data: x!.data.map((v) => Math.min(Math.max(v, low!.data[0]!), high!.data[0]!)) }),
  Less: binary((a, b) => (a < b ? 1 : 0)),
  Cast: unary((x) => x),
  Where: ([condition, a, b]) => {
    const [yes, no] = [repeated(a!, condition!.dims), repeated(b!, condition!.dims)];
    return { dims: condition!.dims, data: condition!.data.map((v, i) => (v === 0 ? no[i]! : yes[i]!)) };
  },
  QuickGelu: (inputs, { alpha }) => unary((x) => x * sigmoid(float(alpha, 1.702) * x))(inputs, {}),
  /** With a scale and a zero point for each index of the first axis. */
  DequantizeLinear: ([q, scales, zeroPoints]) => {
    const width = q!.data.length / q!.dims[0]!;
    const of = (values: Tensor | undefined, flat: number): number => values?.data[Math.floor(flat / width)] ?? 0;
    return { dims: q!.dims, data: q!.data.map((value, flat) => (value - of(zeroPoints, flat)) * of(scales, flat)) };
  },
  BitwiseAnd: binary((a, b) => a & b),
  BitShift: binary((a, b) => a >> b),
  MatMulNBits: ([x, bytes, scales, zeroPoints], { bits, block_size }) => {
    const [rows, blocks] = bytes!.dims as [number, number];
    const [width, perBlock] = [int(bits, 4), int(block_size, 0)];
    const level = (packed: Float64Array, row: number, i: number): number => {
      const bit = i * width;
      return (packed[(row * packed.length) / rows + (bit >> 3)]! >> (bit & 7)) & (2 ** width - 1);
    };
    const columns = blocks * perBlock;
    const matrix = Float64Array.from({ length: rows * columns }, (_, flat) => {
      const [row, column] = [Math.floor(flat / columns), flat % columns];
      const block = Math.floor(column / perBlock);
      const zero = zeroPoints === undefined ? 2 ** (width - 1) : level(zeroPoints.data, row, block);
      return (level(bytes!.data, row, column) - zero) * scales!.data[row * blocks + block]!;
    });
    return product([x!, { dims: [rows, columns], data: matrix }], { transB: { int: 1 } });
  },
  Gemm: product,
  FusedMatMul: product,
  MatMul: product,
  ReduceSum: reduce(total),
  ReduceMean: reduce((values) => total(values) / values.length),
  ReduceMax: reduce((values) => Math.max(...values)),
  Reshape: ([x, shape]) => {
    const given = [...shape!.data];
    const rest = x!.data.length / given.reduce((all, dim) => (dim === -1 ? all : all * dim), 1);
    return { dims: given.map((dim) => (dim === -1 ? rest : dim)), data: x!.data };
  },
  Expand: ([x, shape]) => {
    const dims = [...shape!.data];
    return { dims, data: repeated(x!, dims) };
  },
  Transpose: ([x], { perm }) => transposed(x!, ints(perm)),
  Concat: (inputs, { axis }) => {
    const at = int(axis, 0);
    const along = inputs.map(({ dims }) => size(dims.slice(at)));
    const before = size(inputs[0]!.dims.slice(0, at));
    const data = Array.from({ length: before }, (_, i) =>
      inputs.flatMap((x, j) => [...x.data.subarray(i * along[j]!, (i + 1) * along[j]!)]),
    ).flat();
    const dims = inputs[0]!.dims.map((dim, i) => (i === at ? total(inputs.map((x) => x.dims[at]!)) : dim));
    return { dims, data: Float64Array.from(data) };
  },
  Gather: ([x, rows]) => {
    const width = size(x!.dims.slice(1));
    const data = [...rows!.data].flatMap((row) => [...x!.data.subarray(row * width, (row + 1) * width)]);
    return { dims: [...rows!.dims, ...x!.dims.slice(1)], data: Float64Array.from(data) };
  },
  Slice: ([x, start, end]) => {
    const [from, to] = [start!.data[0]!, end!.data[0]!];
    const rows = x!.data.length / x!.dims.at(-1)!;
    const data = Array.from({ length: rows }, (_, row) => [
      ...x!.data.subarray(row * x!.dims.at(-1)! + from, row * x!.dims.at(-1)! + to),
    ]);
    return { dims: [...x!.dims.slice(0, -1), to - from], data: Float64Array.from(data.flat()) };
  },
  Pad: ([x, pads]) => {
    const rank = x!.dims.length;
    const [before, after] = [pads!.data[rank - 1]!, pads!.data[2 * rank - 1]!];
    const width = x!.dims.at(-1)!;
    const data = new Float64Array((x!.data.length / width) * (before + width + after));
    for (let row = 0; row < x!.data.length / width; row++)
      data.set(x!.data.subarray(row * width, (row + 1) * width), row * (before + width + after) + before);
    return { dims: [...x!.dims.slice(0, -1), before + width + after], data };
  },
  ScatterND: ([x, indices, updates]) => {
    const width = size(x!.dims.slice(1));
    const data = x!.data.slice();
    indices!.data.forEach((row, i) => {
      for (let j = 0; j < width; j++) data[row * width + j]! += updates!.data[i * width + j]!;
    });
    return { dims: x!.dims, data };
  },
  GatherElements: ([x, indices]) => {
    const [width, picked] = [x!.dims.at(-1)!, indices!.dims.at(-1)!];
    const data = indices!.data.map((column, i) => x!.data[Math.floor(i / picked) * width + column]!);
    return { dims: indices!.dims, data };
  },
  ScatterElements: ([x, indices, updates]) => {
    const [width, picked] = [x!.dims.at(-1)!, indices!.dims.at(-1)!];
    const data = x!.data.slice();
    indices!.data.forEach((column, i) => (data[Math.floor(i / picked) * width + column]! += updates!.data[i]!));
    return { dims: x!.dims, data };
  },
  ReduceSumSquare: (inputs, attributes) => reduce((values) => total(values.map((v) => v * v)))(inputs, attributes),
  SimplifiedLayerNormalization: ([x, w], { epsilon }) =>
    alongLast(x!, (row) => {
      const rms = Math.sqrt(total([...row].map((v) => v * v)) / row.length + float(epsilon, 0));
      return row.map((v, i) => (v / rms) * w!.data[i]!);
    }),
  LayerNormalization: ([x, w, b], { epsilon }) =>
    alongLast(x!, (row) => {
      const mean = total([...row]) / row.length;
      const deviation = Math.sqrt(total([...row].map((v) => (v - mean) ** 2)) / row.length + float(epsilon, 0));
      return row.map((v, i) => ((v - mean) / deviation) * w!.data[i]! + (b?.data[i] ?? 0));
    }),
  Softmax: ([x]) =>
    alongLast(x!, (row) => {
      const largest = Math.max(...row);
      const powers = row.map((v) => Math.exp(v - largest));
      const sum = total([...powers]);
      return powers.map((v) => v / sum);
    }),
  RotaryEmbedding: ([x, position, cos, sin], { num_heads, rotary_embedding_dim, interleaved }) => {
    const neighbours = int(interleaved, 0) === 1;
    const time = x!.dims[1]!;
    const headDim = x!.dims[2]! / int(num_heads, 1);
    const half = int(rotary_embedding_dim, headDim) / 2;
    const data = x!.data.map((value, flat) => {
      const inHead = flat % headDim;
      if (inHead >= 2 * half) return value;
      const t = Math.floor(flat / x!.dims[2]!) % time;
      const angle = (position!.data[0]! + t) * half + (neighbours ? inHead >> 1 : inHead % half);
      const first = neighbours ? inHead % 2 === 0 : inHead < half;
      const step = neighbours ? 1 : half;
      const partner = first ? -x!.data[flat + step]! : x!.data[flat - step]!;
      return value * cos!.data[angle]! + partner * sin!.data[angle]!;
    });
    return { dims: x!.dims, data };
  },
};

/**
 * The body of a Scan sees one slice of the first axis of the last `num_scan_inputs` inputs at a time; its outputs are stacked. The
 * inputs before those are states, which go from one round to the next and come out first.
 */
function scan(node: Node, inputs: readonly Tensor[], known: ReadonlyMap<Value, Tensor>): Tensor[] {
  const { body, num_scan_inputs: scanned } = node.attributes;
  assert(body !== undefined && 'graph' in body, `${node.name} has no body`);
  const states = inputs.length - int(scanned, inputs.length);
  const steps = inputs[states]!.dims[0]!;
  let carried = inputs.slice(0, states);
  const results = Array.from({ length: steps }, (_, step) => {
    const slices = inputs.slice(states).map((x) => {
      const width = size(x.dims.slice(1));
      return { dims: x.dims.slice(1), data: x.data.slice(step * width, (step + 1) * width) };
    });
    const values = [...carried, ...slices];
    const feeds = Object.fromEntries(body.graph.inputs.map(({ name }, i) => [name, values[i]!]));
    const result = Object.values(evaluate(body.graph, feeds, known));
    carried = result.slice(0, states);
    return result.slice(states);
  });
  const stacked = (results[0] ?? []).map((first, i) => ({
    dims: [steps, ...first.dims],
    data: Float64Array.from(results.flatMap((result) => [...result[i]!.data])),
  }));
  return [...carried, ...stacked];
}

/** Equal parts along an axis. */
function split(node: Node, { dims, data }: Tensor): Tensor[] {
  const axis = int(node.attributes['axis'], 0);
  const count = node.outputs.length;
  const part = dims.map((dim, i) => (i === axis ? dim / count : dim));
  const width = size(part.slice(axis));
  return node.outputs.map((_, i) => ({
    dims: part,
    data: Float64Array.from(
      { length: size(part) },
      (__, j) => data[(Math.floor(j / width) * count + i) * width + (j % width)]!,
    ),
  }));
}
