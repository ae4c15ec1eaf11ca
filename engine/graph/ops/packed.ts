/** Frozen matrices in 4 or 8 bits: read back as float32 for a moment, or multiplied as they are. */
import type { DataType, Graph, Op, Value } from '../graph.ts';
import { defineOp } from '../graph.ts';
import { add, mul } from './elementwise.ts';
import { gemm, linear, type LoraFactors } from './matmul.ts';
import { reduceSum } from './reduce.ts';

/** `halves` and `zeroLevels` are numbers and zero points again, as `dequantized` reads them; see formats/quants/pack.ts. */
export type PackedPart = 'values' | 'scales' | 'zeroPoints' | 'halves' | 'zeroLevels' | 'minimumScales' | 'minimumLevels';

/** A matrix W [rows, columns] in blocks along its rows: W = (q - zero point) scale + minimum. */
export interface PackedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** Null without minima; else how many blocks share the float32 factor of their 8-bit minima, 1 where the factor is the minimum. */
  readonly minimumGroup: number | null;
  /** The bytes of a part as a tensor of this type and shape; one part may be read in several. */
  declare(g: Graph, part: PackedPart, dtype: DataType, shape: readonly number[]): Value;
}

const shaped = (g: Graph, x: Value, shape: readonly number[]): Value =>
  g.node('Reshape', [x, g.constant('int64', [shape.length], shape)], { dtype: x.dtype, shape });

/** `[rows * blocks, 1]` */
function minima(g: Graph, { rows, columns, blockSize, minimumGroup, declare }: PackedWeight): Value {
  const blocks = (rows * columns) / blockSize;
  if (minimumGroup === 1) return declare(g, 'minimumScales', 'float32', [blocks, 1]);
  const groups = blocks / minimumGroup!;
  const levels = declare(g, 'minimumLevels', 'uint8', [groups, minimumGroup!]);
  const product = g.node('DequantizeLinear', [levels, declare(g, 'minimumScales', 'float32', [groups])], {
    shape: levels.shape,
    attributes: { axis: { int: 0 } },
  });
  return shaped(g, product, [blocks, 1]);
}

/** `[blocks, blockSize]` in bytes: of 4-bit numbers the first half lies in the lower halves of the bytes, the second in the upper. */
function quants(g: Graph, { bits, blockSize, declare }: PackedWeight, blocks: number): Value {
  if (bits === 8) return declare(g, 'halves', 'uint8', [blocks, blockSize]);
  const shape = [blocks / 2, blockSize];
  const bytes = declare(g, 'halves', 'uint8', shape);
  const low = g.node('BitwiseAnd', [bytes, g.constant('uint8', [], [15])], { dtype: 'uint8', shape });
  const attributes = { direction: { string: 'RIGHT' } };
  const high = g.node('BitShift', [bytes, g.constant('uint8', [], [4])], { dtype: 'uint8', shape, attributes });
  const whole = { dtype: 'uint8', shape: [blocks, blockSize], attributes: { axis: { int: 0 } } } as const;
  return g.node('Concat', [low, high], whole);
}

/**
 * W as float32. The runtime reads bytes back with vector instructions when a row of DequantizeLinear is one of our blocks, five times
 * faster than blocks within a row; nibbles it takes one by one, so they become bytes first.
 */
export function dequantized(g: Graph, weight: PackedWeight): Value {
  const { rows, columns, blockSize, minimumGroup, declare } = weight;
  const blocks = (rows * columns) / blockSize;
  const inputs = [
    quants(g, weight, blocks),
    declare(g, 'scales', 'float32', [blocks]),
    declare(g, 'zeroLevels', 'uint8', [blocks]),
  ];
  const scaled = g.node('DequantizeLinear', inputs, { shape: [blocks, blockSize], attributes: { axis: { int: 0 } } });
  const whole = minimumGroup === null ? scaled : add(g, [scaled, minima(g, weight)]);
  return shaped(g, whole, [rows, columns]);
}

// y = x Wᵀ, where a minimum adds Σ of the block of x times it        dx = dy W
export const packedProduct: Op<{ readonly weight: PackedWeight }> = defineOp<{ readonly weight: PackedWeight }>({
  name: 'MatMulNBits',
  forward(g, [x], { weight }) {
    const { rows, columns, bits, blockSize, minimumGroup, declare } = weight;
    const blocks = columns / blockSize;
    const inputs = [
      x!,
      declare(g, 'values', 'uint8', [rows, blocks, (blockSize * bits) / 8]),
      declare(g, 'scales', 'float32', [rows, blocks]),
      declare(g, 'zeroPoints', 'uint8', [rows, Math.ceil((blocks * bits) / 8)]),
    ];
    const shape = [x!.shape[0]!, rows];
    const product = g.node('MatMulNBits', inputs, {
      domain: 'com.microsoft',
      shape,
      attributes: { K: { int: columns }, N: { int: rows }, bits: { int: bits }, block_size: { int: blockSize } },
    });
    if (minimumGroup === null) return [product];
    const flow = (y: Value, tail: readonly number[]): Value =>
      g.node('Reshape', [y, g.constant('int64', [tail.length + 1], [-1, ...tail])], { shape: [x!.shape[0]!, ...tail] });
    const sums = flow(reduceSum(g, [flow(x!, [blocks, blockSize])], { axes: [-1] }), [blocks]);
    return [add(g, [product, gemm(g, [sums, shaped(g, minima(g, weight), [rows, blocks])], { transB: true })])];
  },
  backward: (g, { attributes: { weight }, dy }) => [() => gemm(g, [dy, dequantized(g, weight)], {})],
});

/** `linear` with a packed matrix. */
export function packedLinear(g: Graph, x: Value, weight: PackedWeight, bias: Value | null, lora: LoraFactors | null): Value {
  // These need W itself, or what `linear` makes of it.
  if (lora?.dropout !== undefined || lora?.taken !== undefined) return linear(g, x, dequantized(g, weight), bias, lora);
  const base = packedProduct(g, [x], { weight });
  const biased = (y: Value): Value => (bias === null ? y : add(g, [y, bias]));
  if (lora === null) return biased(base);
  const { a, b, scale, outputScale } = lora;
  const u = g.scope('lora', () => gemm(g, [x, a], { transB: true }));
  const sum = g.scope('lora', () => add(g, [base, gemm(g, [u, b], { transB: true, alpha: scale })]));
  return biased(outputScale === undefined ? sum : mul(g, [sum, outputScale]));
}
