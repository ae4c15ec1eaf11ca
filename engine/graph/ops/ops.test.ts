/**
 * Every operation of the list: its gradient rule against numeric differences in float64, and ONNX Runtime's float32 against the interpreter,
 * for the result and for every gradient. An operation without a sample fails.
 */
import { describe, expect, test } from 'vitest';
import { openSession, type TensorValue } from '../../runtime/session.ts';
import { checkGraph } from '../check.ts';
import { extent, share, type Shape } from '../dim.ts';
import { HIDDEN_SCORE } from '../dtype.ts';
import { gradients } from '../gradient.ts';
import { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { interpret } from '../interpret.ts';
import { lowered } from '../lower.ts';
import type { Tensor } from '../nodes/tensor.ts';
import { encodeModel } from '../onnx.ts';
import type { Op } from '../op.ts';
import { fileOrder } from '../order.ts';
import { inPrecision } from '../precision.ts';
import { tanh } from './activation.ts';
import { mul } from './elementwise.ts';
import { ops } from './index.ts';
import type { CrossEntropyAttributes } from './loss.ts';
import { gemm, linear } from './matmul.ts';
import type { PackedPart, PackedWeight } from './packed.ts';

interface SampleInput {
  readonly dims: readonly number[];
  /** Shape as the graph declares it, where it is symbolic. */
  readonly shape?: Shape;
  /** Given values are indices or counts: not differentiated. */
  readonly values?: readonly number[];
  readonly dtype?: 'int32' | 'int64';
  /** Only positive numbers. */
  readonly positive?: boolean;
}
interface Sample {
  readonly inputs: readonly SampleInput[];
  readonly attributes?: unknown;
  readonly symbols?: Readonly<Record<string, number>>;
}

const x: SampleInput = { dims: [2, 3] };
const rope: readonly SampleInput[] = [
  { dims: [1], values: [1], dtype: 'int64' },
  { dims: [4, 2], values: [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3] },
  { dims: [4, 2], values: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7] },
];
const rowsOfHead: readonly SampleInput[] = [
  { dims: [2, 3, 4], shape: ['chunks', 'rows', 4] },
  { dims: [2, 3], shape: ['chunks', 'rows'], values: [1, 4, 0, 2, 3, 0], dtype: 'int64' },
];
const sines = (count: number): number[] => Array.from({ length: count }, (_, i) => Math.sin(i * 1.7));
const frozen = (dims: readonly number[]): SampleInput => ({ dims, values: sines(dims.reduce((a, b) => a * b, 1)) });
const keys = (seed: number): SampleInput => ({
  dims: [3, 1],
  dtype: 'int32',
  values: [1, 2, 3].map((row) => Math.imul(row * seed, 0x9e3779b9)),
});
const keysOfRows = (seed: number): SampleInput => ({
  dims: [2, 3, 1],
  shape: ['chunks', 'rows', 1],
  dtype: 'int32',
  values: [1, 2, 3, 4, 5, 6].map((row) => Math.imul(row * seed, 0x9e3779b9)),
});
/** For each block of queries the causal mask of the keys it may see. */
function causalBlocks(time: number, blocks: number): SampleInput[] {
  const rows = time / blocks;
  return Array.from({ length: blocks }, (_, block) => {
    const keys = (block + 1) * rows;
    const values = Array.from({ length: rows * keys }, (__, i) =>
      i % keys > block * rows + Math.floor(i / keys) ? HIDDEN_SCORE.float32 : 0,
    );
    return {
      dims: [rows, keys],
      shape: [share('t', 1, blocks), share('t', block + 1, blocks)],
      values,
    };
  });
}
const plainHead = (g: Graph, h: Value): Value => gemm(g, [h, g.constant('float32', [5, 4], sines(20))], { transB: true });
/** A matrix [3, 32] in blocks of 16 whose numbers are made up: nibbles or bytes, each block with its own scale and zero point. */
const packedMatrix = (bits: 4 | 8, minimumGroup: number | null, hasNibbleZeros = true): PackedWeight => {
  const levels = Array.from({ length: 96 }, (_, i) => (i * 7 + (i >> 3)) % 2 ** bits);
  const zeroPoints = [3, 8, 1, 0, 7, 5];
  const neighbours = (numbers: readonly number[]) =>
    numbers.flatMap((number, i) => (i % 2 === 0 ? [number | (numbers[i + 1]! << 4)] : []));
  const perRow = (numbers: readonly number[], row: number) =>
    numbers.slice((row * numbers.length) / 3, ((row + 1) * numbers.length) / 3);
  // In 8 bits a row is all lower halves, then all upper ones.
  const nibbles = (numbers: readonly number[]) =>
    neighbours(
      bits === 4
        ? numbers
        : [0, 1, 2].flatMap((row) => [...perRow(numbers, row).map((n) => n & 15), ...perRow(numbers, row).map((n) => n >> 4)]),
    );
  const scales = [0.25, 0.5, 0.125, 0.75, 0.25, 0.375];
  const bothScales = [0, 1, 2].flatMap((row) => [...perRow(scales, row), ...perRow(scales, row).map((scale) => 16 * scale)]);
  const minimumScales = minimumGroup === 1 ? sines(6) : [0.5, -0.25, 0.125];
  const minimumLevels = [1, 2, 3, 4, 5, 6];
  const minima = minimumGroup === 1 ? minimumScales : minimumLevels.map((level, i) => level * minimumScales[i >> 1]!);
  const parts: Record<PackedPart, readonly number[]> = {
    nibbles: nibbles(levels),
    nibbleScales: bits === 4 ? scales : bothScales,
    nibbleZeros: nibbles(zeroPoints),
    halves: bits === 8 ? levels : levels.slice(0, 48).map((level, i) => level | (levels[48 + i]! << 4)),
    scales,
    zeroLevels: zeroPoints,
    ...{ minimumScales, minimumLevels },
    // Without zero points the product counts from 8.
    nibbleMinima: minima.map((minimum, i) => minimum + (hasNibbleZeros ? 0 : 8 - zeroPoints[i]!) * scales[i]!),
  };
  const declare: PackedWeight['declare'] = (g, part, dtype, shape, start = 0) => {
    const first = dtype === 'float32' ? start / 4 : start;
    return g.constant(dtype, shape, parts[part].slice(first, first + shape.reduce((a, b) => a * b, 1)));
  };
  return { rows: 3, columns: 32, bits, blockSize: 16, minimumGroup, hasNibbleZeros, declare };
};
const samples: Readonly<Record<string, readonly Sample[]>> = {
  Add: [{ inputs: [x, x] }, { inputs: [x, { dims: [3] }] }, { inputs: [{ dims: [2, 1] }, { dims: [4, 1, 3] }] }],
  Sub: [{ inputs: [x, x] }, { inputs: [{ dims: [1, 3] }, x] }],
  Mul: [{ inputs: [x, x] }, { inputs: [x, { dims: [] }] }],
  Neg: [{ inputs: [x] }],
  Exp: [{ inputs: [x] }],
  Log: [{ inputs: [{ ...x, positive: true }] }],
  Reciprocal: [{ inputs: [{ ...x, positive: true }] }],
  Sqrt: [{ inputs: [{ ...x, positive: true }] }],
  Sigmoid: [{ inputs: [x] }],
  Clip: [{ inputs: [x], attributes: { low: -0.7, high: 0.9 } }],
  Silu: [{ inputs: [x] }],
  Gelu: [{ inputs: [x] }],
  GeluTanh: [{ inputs: [x] }],
  Relu: [{ inputs: [x] }],
  Tanh: [{ inputs: [x] }],
  Gemm: [
    { inputs: [{ dims: [2, 3] }, { dims: [3, 4] }], attributes: {} },
    { inputs: [{ dims: [3, 2] }, { dims: [3, 4] }, { dims: [4] }], attributes: { transA: true, alpha: 0.5 } },
    { inputs: [{ dims: [2, 3] }, { dims: [4, 3] }, { dims: [2, 4] }], attributes: { transB: true, alpha: 2 } },
    { inputs: [{ dims: [3, 2] }, { dims: [4, 3] }], attributes: { transA: true, transB: true } },
  ],
  LoraLinear: [
    { inputs: [{ dims: [3, 4] }, { dims: [5, 4] }, { dims: [2, 4] }, { dims: [5, 2] }], attributes: { scale: 1.5 } },
    {
      inputs: [{ dims: [3, 4] }, { dims: [5, 4] }, { dims: [2, 4] }, { dims: [5, 2] }, { dims: [5] }],
      attributes: { scale: 2 },
    },
  ],
  MatMulNBits: [
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(4, null) } },
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(8, 1) } },
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(4, 2) } },
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(4, 1, false) } },
  ],
  ProductInParts: [
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(4, null) } },
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(8, 1) } },
    { inputs: [{ dims: [2, 32] }], attributes: { weight: packedMatrix(8, 2) } },
  ],
  DoraScale: [
    { inputs: [{ dims: [5] }, frozen([5, 4]), frozen([2, 4]), frozen([5, 2])], attributes: { scale: 1.5, embedding: false } },
    { inputs: [{ dims: [3] }, frozen([5, 3]), frozen([2, 5]), frozen([3, 2])], attributes: { scale: 0.5, embedding: true } },
  ],
  ReduceSum: [{ inputs: [{ dims: [2, 3, 2] }], attributes: { axes: [0, 2] } }],
  ReduceMean: [{ inputs: [x] }],
  Reshape: [
    { inputs: [{ dims: [2, 6], shape: ['n', 6] }], attributes: { shape: ['n', 2, 3] }, symbols: { n: 2 } },
    { inputs: [{ dims: [6, 2], shape: ['nt', 2] }], attributes: { shape: ['n', 't', 2] }, symbols: { n: 2, t: 3, nt: 6 } },
  ],
  Transpose: [{ inputs: [{ dims: [2, 3, 4] }], attributes: { permutation: [2, 0, 1] } }],
  Expand: [{ inputs: [{ dims: [1, 3] }], attributes: { shape: ['n', 3] }, symbols: { n: 4 } }],
  Concat: [
    {
      inputs: [
        { dims: [1, 2], values: [1, 2] },
        { dims: [2, 2], values: [3, 4, 5, 6] },
      ],
      attributes: { axis: 0 },
    },
  ],
  Gather: [
    {
      inputs: [
        { dims: [3, 2], shape: ['n', 2] },
        { dims: [4], values: [2, 0, 2, 1], dtype: 'int64' },
      ],
      symbols: { n: 3 },
    },
  ],
  Slice: [{ inputs: [{ dims: [2, 2, 5] }], attributes: { start: 1, end: 3 } }],
  RmsNorm: [{ inputs: [{ dims: [3, 4] }, { dims: [4] }], attributes: { epsilon: 0.01 } }],
  LayerNorm: [
    { inputs: [{ dims: [3, 4] }, { dims: [4] }, { dims: [4] }], attributes: { epsilon: 0.01 } },
    { inputs: [{ dims: [2, 2, 5] }, { dims: [5] }], attributes: { epsilon: 0.01 } },
  ],
  Softmax: [{ inputs: [{ dims: [2, 2, 3] }] }],
  Attention: [
    {
      // Two key heads with three query heads each, one block.
      inputs: [
        { dims: [1, 2, 3, 2, 2] },
        { dims: [1, 2, 1, 3, 2] },
        { dims: [1, 2, 1, 3, 2] },
        { dims: [2, 3], values: [0, 0, HIDDEN_SCORE.float32, 0, 0, 0] },
      ],
      attributes: { scale: 0.5, cap: null },
    },
    {
      inputs: [
        { dims: [2, 1, 2, 6, 2], shape: [2, 1, 2, 't', 2] },
        { dims: [2, 1, 1, 6, 2], shape: [2, 1, 1, 't', 2] },
        { dims: [2, 1, 1, 6, 2], shape: [2, 1, 1, 't', 2] },
        ...causalBlocks(6, 3),
      ],
      attributes: { scale: 0.7, cap: 1.5 },
      symbols: { t: 6 },
    },
  ],
  RotaryEmbedding: [
    { inputs: [{ dims: [2, 3, 8] }, ...rope], attributes: { heads: 2, dimension: 4 } },
    { inputs: [{ dims: [1, 3, 12] }, ...rope], attributes: { heads: 2, dimension: 4 } },
    { inputs: [{ dims: [2, 3, 8] }, ...rope], attributes: { heads: 2, dimension: 4, interleaved: true } },
    { inputs: [{ dims: [1, 3, 12] }, ...rope], attributes: { heads: 2, dimension: 4, interleaved: true } },
  ],
  Dropout: [{ inputs: [{ dims: [3, 4] }, keys(1), keys(5)], attributes: { rate: 0.4, name: 'a' } }],
  HeadCrossEntropy: [
    { inputs: rowsOfHead, attributes: { gradient: 'hidden', head: plainHead }, symbols: { chunks: 2, rows: 3 } },
    {
      inputs: rowsOfHead,
      attributes: { gradient: 'hidden', head: (g, h) => mul(g, [tanh(g, [plainHead(g, h)]), g.scalar(0.8)]) },
      symbols: { chunks: 2, rows: 3 },
    },
    {
      inputs: [...rowsOfHead, { dims: [5, 4] }, { dims: [2, 4] }, { dims: [5, 2] }, { dims: [5] }, { dims: [5] }],
      attributes: {
        gradient: 'hidden and trained',
        head: (g, h, [w, a, b, outputScale, bias]) =>
          linear(g, h, w!, bias!, { a: a!, b: b!, scale: 0.7, outputScale: outputScale! }),
      },
      symbols: { chunks: 2, rows: 3 },
    },
    {
      inputs: [...rowsOfHead, keysOfRows(1), keysOfRows(5), { dims: [2, 4] }, { dims: [5, 2] }],
      attributes: {
        gradient: 'hidden and trained',
        ofRows: 2,
        head: (g, h, [a, b], [first, second]) => {
          const w = g.constant('float32', [5, 4], sines(20));
          const dropout = { rate: 0.4, name: 'head', keys: [first!, second!] as const };
          return linear(g, h, w, null, { a: a!, b: b!, scale: 0.7, dropout });
        },
      },
      symbols: { chunks: 2, rows: 3 },
    },
  ] satisfies (Sample & { attributes: CrossEntropyAttributes })[],
};

/** Repeatable numbers, positive and negative, none near zero. */
function numbers(count: number, seed: number, positive = false): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const value = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 1.3;
    return positive ? Math.abs(value) + 0.5 : value + Math.sign(value) * 0.1;
  });
}

interface Built {
  readonly graph: Graph;
  readonly feeds: Record<string, Tensor>;
  /** Names of inputs with a gradient. */
  readonly trained: readonly string[];
}

function build(op: Op<never>, { inputs, attributes, symbols = {} }: Sample): Built {
  const graph = new Graph();
  const feeds: Record<string, Tensor> = {};
  const values: Value[] = inputs.map(({ dims, shape, dtype, values: given, positive }, i) => {
    feeds[`x${i}`] = {
      dims,
      data: given
        ? Float64Array.from(given)
        : numbers(
            dims.reduce((a, b) => a * b, 1),
            i,
            positive,
          ),
    };
    return graph.input(`x${i}`, dtype ?? 'float32', shape ?? dims);
  });
  const { result: y, tape } = graph.record(() => op(graph, values, attributes as never));
  graph.output('y', y);
  const trained = values.filter((_, i) => inputs[i]!.values === undefined);
  const yDims = y.shape.map((dim) => extent(dim, new Map(Object.entries(symbols))));
  const seed = graph.input('dy', 'float32', y.shape);
  feeds['dy'] = {
    dims: yDims,
    data: numbers(
      yDims.reduce((a, b) => a * b, 1),
      9,
    ),
  };
  const found = gradients(graph, tape, y, seed, trained);
  trained.forEach(({ name }, i) => {
    // A gradient that is the seed itself needs a node to be an output.
    const gradient = found[i]!;
    graph.output(`d${name}`, graph.node('Identity', [gradient]));
  });
  for (const input of graph.inputs)
    if (input.name.startsWith('dim.')) feeds[input.name] = { dims: [1], data: Float64Array.of(symbols[input.name.slice(4)]!) };
  return { graph, feeds, trained: trained.map(({ name }) => name) };
}

const dot = (a: Tensor, b: Tensor): number => a.data.reduce((sum, value, i) => sum + value * b.data[i]!, 0);

test('every operation has a sample, and every sample an operation', () => {
  expect(Object.keys(samples).sort()).toEqual(ops.map((op) => op.definition.name).sort());
});

const cases = ops.flatMap((op) =>
  (samples[op.definition.name] ?? []).map((sample, i) => ({
    label: `${op.definition.name} ${i}`,
    op: op as Op<never>,
    sample,
  })),
);
describe.each(cases)('$label', ({ op, sample }) => {
  test('the rule is the derivative', () => {
    const { graph, feeds, trained } = build(op, sample);
    const results = interpret(graph, feeds);
    const step = 1e-5;
    for (const name of trained) {
      const { dims, data } = feeds[name]!;
      data.forEach((_, i) => {
        const moved = (by: number): number => {
          const changed = data.slice();
          changed[i]! += by;
          return dot(interpret(graph, { ...feeds, [name]: { dims, data: changed } })['y']!, feeds['dy']!);
        };
        const numeric = (moved(step) - moved(-step)) / (2 * step);
        expect(Math.abs(results[`d${name}`]!.data[i]! - numeric), `${name}[${i}]`).toBeLessThan(1e-7 * (1 + Math.abs(numeric)));
      });
    }
  });

  test('lowered for an accelerator it is the same', () => {
    const { graph, feeds } = build(op, sample);
    const expected = interpret(graph, feeds);
    const actual = interpret(lowered(graph, sample.symbols ?? {}), feeds);
    for (const [name, { dims, data }] of Object.entries(expected)) {
      expect(actual[name]!.dims, name).toEqual(dims);
      data.forEach((value, i) => {
        expect(Math.abs(actual[name]!.data[i]! - value), `${name}[${i}]`).toBeLessThan(1e-12 * (1 + Math.abs(value)));
      });
    }
  });

  test('whatever a pass makes of it, its nodes give what their rules say', () => {
    const { graph } = build(op, sample);
    checkGraph(graph);
    checkGraph(graph, fileOrder(graph));
    checkGraph(lowered(graph, sample.symbols ?? {}));
    checkGraph(inPrecision(graph, 'float16'));
    checkGraph(lowered(inPrecision(graph, 'float16'), sample.symbols ?? {}));
  });

  test.each(['float16', 'bfloat16'] as const)('in %s it is nearly the same, lowered too', (dtype) => {
    const { graph, feeds } = build(op, sample);
    const expected = interpret(graph, feeds);
    const actual = interpret(lowered(inPrecision(graph, dtype), sample.symbols ?? {}), feeds);
    for (const [name, { dims, data }] of Object.entries(expected)) {
      expect(actual[name]!.dims, name).toEqual(dims);
      const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      data.forEach((value, i) => {
        const off = Math.abs(actual[name]!.data[i]! - value) / largest;
        expect(off, `${name}[${i}]`).toBeLessThan(dtype === 'float16' ? 4e-3 : 3e-2);
      });
    }
  });

  test('ONNX Runtime agrees', async () => {
    const { graph, feeds } = build(op, sample);
    const expected = interpret(graph, feeds);
    const session = await openSession(encodeModel(graph), { threads: 1, provider: 'cpu' });
    const actual = await session.run(
      Object.fromEntries(graph.inputs.map(({ name, dtype }) => [name, asFeed(feeds[name]!, dtype)])),
    );
    for (const [name, { dims, data }] of Object.entries(expected)) {
      expect(actual[name]!.dims, name).toEqual(dims);
      data.forEach((value, i) => {
        expect(Math.abs(Number(actual[name]!.data[i]) - value), `${name}[${i}]`).toBeLessThan(2e-6 * (1 + Math.abs(value)));
      });
    }
    await session.release();
  });
});

function asFeed({ dims, data }: Tensor, dtype: Value['dtype']): TensorValue {
  if (dtype === 'int64') return { type: 'int64', data: BigInt64Array.from(data, BigInt), dims };
  return dtype === 'int32'
    ? { type: 'int32', data: Int32Array.from(data), dims }
    : { type: 'float32', data: Float32Array.from(data), dims };
}
