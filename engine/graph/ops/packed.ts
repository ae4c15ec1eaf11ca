/** Frozen matrices in 4 or 8 bits: read back as float32 for a moment, or multiplied as they are. */
import type { DataType, Dim, Graph, Op, Value } from '../graph.ts';
import { defineOp } from '../graph.ts';
import { add, mul } from './elementwise.ts';
import { gemm, linear, type LoraFactors } from './matmul.ts';
import { reshape } from './shape.ts';

/** What is multiplied, what is read back, and minima for both; see formats/quants/pack.ts. */
export type PackedPart =
  | ('nibbles' | 'nibbleScales' | 'nibbleZeros' | 'nibbleMinima')
  | ('halves' | 'scales' | 'zeroLevels')
  | ('minimumScales' | 'minimumLevels');

/** A matrix W [rows, columns] in blocks along its rows: W = (q - zero point) scale + minimum. */
export interface PackedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** Null without minima; else how many blocks share the float32 factor of their 8-bit minima, 1 where the factor is the minimum. */
  readonly minimumGroup: number | null;
  /** Whether its product is given zero points; without, the runtime's own are right, where need be with the minima for products. */
  readonly hasNibbleZeros: boolean;
  /** The bytes of a part as a tensor of this type and shape; one part may be read in several. */
  declare(g: Graph, part: PackedPart, dtype: DataType, shape: readonly number[]): Value;
}

const shaped = (g: Graph, x: Value, shape: readonly number[]): Value =>
  g.node('Reshape', [x, g.constant('int64', [shape.length], shape)], { dtype: x.dtype, shape });

/** Of every block, in a shape of as many numbers. */
function minima(g: Graph, weight: PackedWeight, shape: readonly number[]): Value {
  const { rows, columns, blockSize, minimumGroup, declare } = weight;
  if (minimumGroup === 1) return declare(g, 'minimumScales', 'float32', shape);
  const groups = (rows * columns) / blockSize / minimumGroup!;
  const levels = declare(g, 'minimumLevels', 'uint8', [groups, minimumGroup!]);
  const product = g.node('DequantizeLinear', [levels, declare(g, 'minimumScales', 'float32', [groups])], {
    shape: levels.shape,
    attributes: { axis: { int: 0 } },
  });
  return shaped(g, product, shape);
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
  const whole = minimumGroup === null ? scaled : add(g, [scaled, minima(g, weight, [blocks, 1])]);
  return shaped(g, whole, [rows, columns]);
}

// y = x Wᵀ, where a minimum adds Σ of the block of x times it        dx = dy W
// Numbers of 8 bits are lower and upper halves side by side: x is there twice.
export const packedProduct: Op<{ readonly weight: PackedWeight }> = defineOp<{ readonly weight: PackedWeight }>({
  name: 'MatMulNBits',
  forward(g, [x], { weight }) {
    const { rows, columns, bits, blockSize, minimumGroup, hasNibbleZeros, declare } = weight;
    const tokens = x!.shape[0]!;
    const blocks = columns / blockSize;
    const inputs = [
      bits === 4 ? x! : twice(g, x!),
      declare(g, 'nibbles', 'uint8', [rows, (blocks * bits) / 4, blockSize / 2]),
      declare(g, 'nibbleScales', 'float32', [rows, (blocks * bits) / 4]),
      ...(hasNibbleZeros ? [declare(g, 'nibbleZeros', 'uint8', [rows, Math.ceil((blocks * bits) / 8)])] : []),
    ];
    const attributes = { K: (columns * bits) / 4, N: rows, bits: 4, block_size: blockSize };
    const product = g.node('MatMulNBits', inputs, {
      domain: 'com.microsoft',
      shape: [tokens, rows],
      attributes: Object.fromEntries(Object.entries(attributes).map(([name, int]) => [name, { int }])),
    });
    if (minimumGroup === null) return [product];
    const minima = declare(g, 'nibbleMinima', 'float32', [rows, blocks]);
    return [gemm(g, [blockSums(g, x!, blockSize), minima, product], { transB: true })];
  },
  backward: (g, { attributes: { weight }, dy }) => [() => gemm(g, [dy, dequantized(g, weight)], {})],
});

const knownSums = new WeakMap<Value, Value>();
const knownTwice = new WeakMap<Value, Value>();

/** Σ over every block of a row, `[tokens, blocks]`; all matrices that read x share it. */
function blockSums(g: Graph, x: Value, blockSize: number): Value {
  const known = knownSums.get(x);
  if (known !== undefined) return known;
  const [tokens, columns] = x.shape as [Dim, number];
  const inBlocks = reshape(g, [x], { shape: [tokens, columns / blockSize, blockSize] });
  const sums = g.node('ReduceSum', [inBlocks, g.constant('int64', [1], [2])], {
    shape: [tokens, columns / blockSize],
    attributes: { keepdims: { int: 0 } },
  });
  knownSums.set(x, sums);
  return sums;
}

function twice(g: Graph, x: Value): Value {
  const known = knownTwice.get(x);
  if (known !== undefined) return known;
  const [tokens, columns] = x.shape as [Dim, number];
  const both = g.node('Concat', [x, x], { shape: [tokens, 2 * columns], attributes: { axis: { int: 1 } } });
  knownTwice.set(x, both);
  return both;
}

/** W[ids] as float32 `[ids, columns]`: only these rows are read back. */
export function packedRows(
  g: Graph,
  ids: Value,
  { rows, columns, bits, blockSize, minimumGroup, declare }: PackedWeight,
): Value {
  const tokens = ids.shape[0]!;
  const blocks = columns / blockSize;
  const pick = (part: PackedPart, dtype: 'uint8' | 'float32', perRow: number): Value =>
    g.node('Gather', [declare(g, part, dtype, [rows, perRow]), ids], {
      dtype,
      shape: [tokens, perRow],
      attributes: { axis: { int: 0 } },
    });
  /** As lines with a scale each, so many for a token. */
  const lines = (x: Value, perToken: number, width: readonly number[]): Value =>
    g.node('Reshape', [x, g.constant('int64', [1 + width.length], [-1, ...width])], {
      dtype: x.dtype,
      shape: [`${tokens} x ${perToken}`, ...width],
    });
  const scaled = (levels: Value, scales: Value, zeros: Value[]): Value =>
    g.node('DequantizeLinear', [levels, scales, ...zeros], { shape: levels.shape, attributes: { axis: { int: 0 } } });
  const bytes = bits === 8 ? pick('halves', 'uint8', columns) : unfolded(g, pick('nibbles', 'uint8', columns / 2));
  const zeros = lines(pick('zeroLevels', 'uint8', blocks), blocks, []);
  const plain = scaled(lines(bytes, blocks, [blockSize]), lines(pick('scales', 'float32', blocks), blocks, []), [zeros]);
  const whole = (y: Value): Value => reshape(g, [y], { shape: [tokens, columns] });
  if (minimumGroup === null) return whole(plain);
  const groups = blocks / minimumGroup;
  const factors = lines(pick('minimumScales', 'float32', groups), groups, []);
  const minimum =
    minimumGroup === 1 ? factors : scaled(lines(pick('minimumLevels', 'uint8', blocks), groups, [minimumGroup]), factors, []);
  return whole(add(g, [plain, lines(minimum, blocks, [1])]));
}

/** Two numbers out of every byte. */
function unfolded(g: Graph, x: Value): Value {
  const [tokens, width] = x.shape as [Dim, number];
  const shape = [tokens, width, 1];
  const low = g.node('BitwiseAnd', [x, g.constant('uint8', [], [15])], { dtype: 'uint8', shape: x.shape });
  const attributes = { direction: { string: 'RIGHT' } };
  const high = g.node('BitShift', [x, g.constant('uint8', [], [4])], { dtype: 'uint8', shape: x.shape, attributes });
  const parts = [low, high].map((part) =>
    g.node('Unsqueeze', [part, g.constant('int64', [1], [2])], { dtype: 'uint8', shape }),
  );
  return g.node('Concat', parts, { dtype: 'uint8', shape: [tokens, width, 2], attributes: { axis: { int: 2 } } });
}

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
