/** Defines nodes that read numbers of few bits. */
import { likeFirst, int, plain, type NodeType } from './node-type.ts';
import { asFloat, mul, reshape, scalarFor, sub, type Builder } from './lowering.ts';
import { product } from './products.ts';
import { repeated, type Tensor } from './tensor.ts';
import type { Value } from '../node.ts';

const ofBits = { domain: '', memory: 'own', cost: 'cheap', precision: 'any' } as const satisfies Partial<NodeType>;

const bits = (f: (a: number, b: number) => number) =>
  plain(([a, b]: readonly Tensor[]) => {
    const right = repeated(b!, a!.dims);
    return { dims: a!.dims, data: a!.data.map((x, i) => f(x, right[i]!)) };
  });

// A byte q = 16 h + l in numbers that are exact: h = ⌊q / 16⌋, l = q - 16 h
function upperHalf(g: Builder, x: Value): Value {
  return g.node('Floor', [mul(g, x, scalarFor(g, x, 1 / 16))]);
}

export const packedNodes = {
  BitwiseAnd: {
    ...ofBits,
    outputs: likeFirst,
    lowering: ({ g }, [bytes]) => {
      const whole = asFloat(g, bytes!);
      return [sub(g, whole, mul(g, upperHalf(g, whole), scalarFor(g, whole, 16)))];
    },
    kernel: bits((a, b) => a & b),
  },
  BitShift: {
    ...ofBits,
    outputs: likeFirst,
    lowering: ({ g }, [bytes]) => [upperHalf(g, asFloat(g, bytes!))],
    kernel: bits((a, b) => a >> b),
  },
  /** Computes (q - zero point) scale, with a scale and a zero point for each index of the first axis. */
  DequantizeLinear: {
    ...ofBits,
    outputs: ({ inputs: [q, scales] }) => [{ dtype: scales!.dtype, shape: q!.shape }],
    precision: 'float32',
    lowering: ({ g }, [q, scales, zeroPoints]) => {
      const column = (x: Value): Value => reshape(g, x, [x.shape[0]!, 1]);
      const numbers = asFloat(g, q!);
      const above = zeroPoints === undefined ? numbers : sub(g, numbers, column(asFloat(g, zeroPoints)));
      return [mul(g, above, column(scales!))];
    },
    kernel: plain(([q, scales, zeroPoints]) => {
      const width = q!.data.length / q!.dims[0]!;
      const of = (values: Tensor | undefined, flat: number): number => values?.data[Math.floor(flat / width)] ?? 0;
      return { dims: q!.dims, data: q!.data.map((value, flat) => (value - of(zeroPoints, flat)) * of(scales, flat)) };
    }),
  },
  /** Computes x Wᵀ for W in blocks of few bits, each with a scale and possibly a zero point. */
  MatMulNBits: {
    domain: 'com.microsoft',
    outputs: ({ inputs: [x], attributes: { N } }) => [{ dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), int(N, 0)] }],
    memory: 'own',
    cost: 'dear',
    lowering: 'same',
    precision: 'any',
    kernel: plain(([x, bytes, scales, zeroPoints], { bits: ofNumber, block_size }) => {
      const [rows, blocks] = bytes!.dims as [number, number];
      const [width, perBlock] = [int(ofNumber, 4), int(block_size, 0)];
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
    }),
  },
} satisfies Readonly<Record<string, NodeType>>;
