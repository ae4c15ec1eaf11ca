/** Defines nodes that reduce many numbers along axes to one, and those that divide by such a number. */
import type { Attributes } from '../node.ts';
import { positiveAxis } from '../dim.ts';
import { commonType, float, int, knownNumbers, likeFirst, plain, type NodeType } from './node-type.ts';
import { alongLast, size, stridesOf, type Tensor } from './tensor.ts';

const ofMany = {
  domain: '',
  memory: 'own',
  cost: 'cheap',
  lowering: 'same',
  precision: 'float32',
} as const satisfies Partial<NodeType>;

const total = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0);

/** Reduces the axes named by the second input. */
const reduced =
  (f: (values: number[]) => number) =>
  ([x, axes]: readonly Tensor[], { keepdims }: Attributes): Tensor => {
    const dims = x!.dims;
    const gone = new Set([...axes!.data].map((axis) => positiveAxis(dims, axis)));
    const kept = dims.map((dim, i) => (gone.has(i) ? 1 : dim));
    const keptStrides = stridesOf(kept);
    const strides = stridesOf(dims);
    const groups = Array.from({ length: size(kept) }, (): number[] => []);
    x!.data.forEach((value, flat) => {
      const to = dims.reduce(
        (sum, dim, i) => sum + (gone.has(i) ? 0 : (Math.floor(flat / strides[i]!) % dim) * keptStrides[i]!),
        0,
      );
      groups[to]!.push(value);
    });
    return { dims: int(keepdims, 1) === 1 ? kept : dims.filter((_, i) => !gone.has(i)), data: Float64Array.from(groups, f) };
  };

const reduction = (f: (values: number[]) => number): NodeType => ({
  ...ofMany,
  outputs: (call) => {
    const { dtype, shape } = call.inputs[0]!;
    const gone = new Set(knownNumbers(call, 1).map((axis) => positiveAxis(shape, axis)));
    const keeps = int(call.attributes['keepdims'], 1) === 1;
    return [{ dtype, shape: keeps ? shape.map((dim, i) => (gone.has(i) ? 1 : dim)) : shape.filter((_, i) => !gone.has(i)) }];
  },
  kernel: plain(reduced(f)),
});

export const reductionNodes = {
  ReduceSum: reduction(total),
  ReduceMean: reduction((values) => total(values) / values.length),
  ReduceSumSquare: reduction((values) => total(values.map((v) => v * v))),
  // The maximum is one of the values, so nothing is rounded.
  ReduceMax: { ...reduction((values) => Math.max(...values)), precision: 'any' },
  Softmax: {
    ...ofMany,
    outputs: likeFirst,
    memory: 'over-input',
    kernel: plain(([x]) =>
      alongLast(x!, (row) => {
        const largest = Math.max(...row);
        const powers = row.map((v) => Math.exp(v - largest));
        const sum = total([...powers]);
        return powers.map((v) => v / sum);
      }),
    ),
  },
  SimplifiedLayerNormalization: {
    ...ofMany,
    outputs: ({ inputs }) => [{ dtype: commonType(inputs), shape: inputs[0]!.shape }],
    kernel: plain(([x, w], { epsilon }) =>
      alongLast(x!, (row) => {
        const rms = Math.sqrt(total([...row].map((v) => v * v)) / row.length + float(epsilon, 0));
        return row.map((v, i) => (v / rms) * w!.data[i]!);
      }),
    ),
  },
  LayerNormalization: {
    ...ofMany,
    outputs: ({ inputs }) => [{ dtype: commonType(inputs), shape: inputs[0]!.shape }],
    kernel: plain(([x, w, b], { epsilon }) =>
      alongLast(x!, (row) => {
        const mean = total([...row]) / row.length;
        const deviation = Math.sqrt(total([...row].map((v) => (v - mean) ** 2)) / row.length + float(epsilon, 0));
        return row.map((v, i) => ((v - mean) / deviation) * w!.data[i]! + (b?.data[i] ?? 0));
      }),
    ),
  },
} satisfies Readonly<Record<string, NodeType>>;
