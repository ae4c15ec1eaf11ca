/** Reads frozen weights in fewer bits than float32, which are dequantized for a moment or multiplied as they are. */
import { share, type Dim } from '../dim.ts';
import { dataTypes, type DataType } from '../dtype.ts';
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { add, mul, sub } from './elementwise.ts';
import { gemm, linear, type LoraFactors } from './matmul.ts';
import { concat, reshape, sliceLast } from './shape.ts';

/**
 * Names the parts of a packed matrix: those for products, those for dequantizing, and minima for both; see
 * formats/quants/pack.ts.
 */
export type PackedPart =
  | ('nibbles' | 'nibbleScales' | 'nibbleZeros' | 'nibbleMinima')
  | ('halves' | 'scales' | 'zeroLevels')
  | ('minimumScales' | 'minimumLevels');

/** Describes a matrix W [rows, columns] in blocks along its rows: W = (q - zero point) scale + minimum. */
export interface PackedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /**
   * Gives the number of blocks that share the float32 factor of their 8-bit minima, 1 where the factor is the minimum, or null
   * without minima.
   */
  readonly minimumGroup: number | null;
  /**
   * Says whether products need its zero points; otherwise the runtime's defaults are right, if need be with the minima for
   * products.
   */
  readonly hasNibbleZeros: boolean;
  /**
   * Declares the bytes of a part, from `start` on, as a tensor of this type and shape; a part may be read in several pieces.
   */
  declare(g: Graph, part: PackedPart, dtype: DataType, shape: readonly number[], start?: number): Value;
}

/** Describes a range of rows of a matrix. */
interface Rows {
  readonly from: number;
  readonly count: number;
}

const shaped = (g: Graph, x: Value, shape: readonly number[]): Value => reshape(g, [x], { shape });

/** Builds the minima of the blocks in a range of rows, `[blocks, 1]`. */
function minima(g: Graph, { columns, blockSize, minimumGroup, declare }: PackedWeight, { from, count }: Rows): Value {
  const perRow = columns / blockSize / minimumGroup!;
  const groups = count * perRow;
  const shape = [groups * minimumGroup!, 1];
  const scales = (of: readonly number[]): Value => declare(g, 'minimumScales', 'float32', of, 4 * from * perRow);
  if (minimumGroup === 1) return scales(shape);
  const levels = declare(g, 'minimumLevels', 'uint8', [groups, minimumGroup!], from * perRow * minimumGroup!);
  return shaped(g, g.node('DequantizeLinear', [levels, scales([groups])], { axis: { int: 0 } }), shape);
}

const lowerHalf = (g: Graph, bytes: Value): Value => g.node('BitwiseAnd', [bytes, g.constant('uint8', [], [15])]);

const upperHalf = (g: Graph, bytes: Value): Value =>
  g.node('BitShift', [bytes, g.constant('uint8', [], [4])], { direction: { string: 'RIGHT' } });

/**
 * Builds the numbers of a range of rows in bytes, `[blocks, blockSize]`. Of 4-bit numbers the first half of the matrix lies in
 * the lower halves of the bytes, the second in the upper. The range is the whole matrix, or lies in one half.
 */
function quants(g: Graph, { rows, columns, bits, blockSize, declare }: PackedWeight, { from, count }: Rows): Value {
  const perRow = columns / blockSize;
  const bytesFrom = (row: number, blocks: number): Value => declare(g, 'halves', 'uint8', [blocks, blockSize], row * columns);
  if (bits === 8) return bytesFrom(from, count * perRow);
  if (count < rows)
    return from < rows / 2
      ? lowerHalf(g, bytesFrom(from, count * perRow))
      : upperHalf(g, bytesFrom(from - rows / 2, count * perRow));
  const bytes = bytesFrom(0, (rows * perRow) / 2);
  return g.node('Concat', [lowerHalf(g, bytes), upperHalf(g, bytes)], { axis: { int: 0 } });
}

/**
 * Builds W, or a range of its rows, as float32. The runtime dequantizes bytes with vector instructions when a row of
 * DequantizeLinear is one of our blocks, five times faster than blocks within a row; it reads nibbles one by one, so they
 * become bytes first.
 */
export function dequantized(g: Graph, weight: PackedWeight, some: Rows = { from: 0, count: weight.rows }): Value {
  const { columns, blockSize, minimumGroup, declare } = weight;
  const { from, count } = some;
  const perRow = columns / blockSize;
  const blocks = count * perRow;
  const inputs = [
    quants(g, weight, some),
    declare(g, 'scales', 'float32', [blocks], 4 * from * perRow),
    declare(g, 'zeroLevels', 'uint8', [blocks], from * perRow),
  ];
  const scaled = g.node('DequantizeLinear', inputs, { axis: { int: 0 } });
  const whole = minimumGroup === null ? scaled : add(g, [scaled, minima(g, weight, some)]);
  return shaped(g, whole, [count, columns]);
}

/**
 * A head is dequantized in this many parts: each is small beside the logits, and a product with it is still as fast per row.
 */
const PARTS = 16;

/** Divides the rows of a matrix into parts that can be dequantized alone. */
function partsOf({ rows, bits }: PackedWeight): Rows[] {
  // In 4 bits with an odd number of rows the halves meet within one.
  if (bits === 4 && rows % 2 === 1) return [{ from: 0, count: rows }];
  const half = bits === 4 ? rows / 2 : rows;
  const size = Math.ceil(rows / PARTS);
  const within = Array.from({ length: Math.ceil(half / size) }, (_, i) => ({
    from: i * size,
    count: Math.min(size, half - i * size),
  }));
  return bits === 8 ? within : [...within, ...within.map(({ from, count }) => ({ from: half + from, count }))];
}

// y = x Wᵀ        dx = dy W
// W is read back part by part, here and for dx again: it is never there as a whole.
export const productInParts: Op<{ readonly weight: PackedWeight }> = defineOp<{ readonly weight: PackedWeight }>({
  name: 'ProductInParts',
  forward(g, [x], { weight }) {
    const parts = partsOf(weight).map((some) => gemm(g, [x!, dequantized(g, weight, some)], { transB: true }));
    return [parts.length === 1 ? parts[0]! : concat(g, parts, { axis: -1 })];
  },
  backward: (g, { attributes: { weight }, dy }) => [
    () =>
      partsOf(weight)
        .map((some) => {
          const { from, count } = some;
          const ofPart = count === weight.rows ? dy : sliceLast(g, [dy], { start: from, end: from + count });
          return gemm(g, [ofPart, dequantized(g, weight, some)], {});
        })
        .reduce((sum, part) => add(g, [sum, part])),
  ],
});

// y = x Wᵀ, where a minimum adds Σ of the block of x times it        dx = dy W
// Numbers of 8 bits are lower and upper halves side by side: x is there twice.
export const packedProduct: Op<{ readonly weight: PackedWeight }> = defineOp<{ readonly weight: PackedWeight }>({
  name: 'MatMulNBits',
  forward(g, [x], { weight }) {
    const { rows, columns, bits, blockSize, minimumGroup, hasNibbleZeros, declare } = weight;
    const blocks = columns / blockSize;
    const inputs = [
      bits === 4 ? x! : twice(g, x!),
      declare(g, 'nibbles', 'uint8', [rows, (blocks * bits) / 4, blockSize / 2]),
      declare(g, 'nibbleScales', 'float32', [rows, (blocks * bits) / 4]),
      ...(hasNibbleZeros ? [declare(g, 'nibbleZeros', 'uint8', [rows, Math.ceil((blocks * bits) / 8)])] : []),
    ];
    const attributes = { K: (columns * bits) / 4, N: rows, bits: 4, block_size: blockSize };
    const named = Object.fromEntries(Object.entries(attributes).map(([name, int]) => [name, { int }]));
    const product = g.node('MatMulNBits', inputs, named);
    if (minimumGroup === null) return [product];
    const minima = declare(g, 'nibbleMinima', 'float32', [rows, blocks]);
    return [gemm(g, [blockSums(g, x!, blockSize), minima, product], { transB: true })];
  },
  backward: (g, { attributes: { weight }, dy }) => [() => gemm(g, [dy, dequantized(g, weight)], {})],
});

/** Builds the sum of x over every block of a row, `[tokens, blocks]`; all matrices in such blocks that read x share it. */
function blockSums(g: Graph, x: Value, blockSize: number): Value {
  return g.memo(x, `sums of blocks of ${blockSize}`, () => {
    const [tokens, columns] = x.shape as [Dim, number];
    const inBlocks = reshape(g, [x], { shape: [tokens, columns / blockSize, blockSize] });
    return g.node('ReduceSum', [inBlocks, g.constant('int64', [1], [2])], { keepdims: { int: 0 } });
  });
}

function twice(g: Graph, x: Value): Value {
  return g.memo(x, 'twice', () => g.node('Concat', [x, x], { axis: { int: 1 } }));
}

/**
 * Builds W[ids] as float32 `[ids, columns]`. Only these rows are dequantized, from the parts that the rest of the graph reads.
 */
export function packedRows(
  g: Graph,
  ids: Value,
  { rows, columns, bits, blockSize, minimumGroup, declare }: PackedWeight,
  from: 'nibbles' | 'halves',
): Value {
  const tokens = ids.shape[0]!;
  const blocks = columns / blockSize;
  const pick = (part: PackedPart, dtype: 'uint8' | 'float32', perRow: number): Value =>
    g.node('Gather', [declare(g, part, dtype, [rows, perRow]), ids], { axis: { int: 0 } });
  /** Reshapes to lines with a scale each, `perToken` for every token. */
  const lines = (x: Value, perToken: number, width: readonly number[]): Value =>
    reshape(g, [x], { shape: [share(tokens, perToken, 1), ...width] });
  const scaled = (levels: Value, scales: Value, zeros: Value[]): Value =>
    g.node('DequantizeLinear', [levels, scales, ...zeros], { axis: { int: 0 } });
  const bytes = (): Value => {
    if (bits === 8) return pick('halves', 'uint8', columns);
    if (from === 'nibbles' || rows % 2 === 1) return unfolded(g, pick('nibbles', 'uint8', columns / 2));
    return rowsOfHalves(g, ids, declare(g, 'halves', 'uint8', [rows / 2, columns]));
  };
  const zeros = lines(pick('zeroLevels', 'uint8', blocks), blocks, []);
  const plain = scaled(lines(bytes(), blocks, [blockSize]), lines(pick('scales', 'float32', blocks), blocks, []), [zeros]);
  const whole = (y: Value): Value => reshape(g, [y], { shape: [tokens, columns] });
  if (minimumGroup === null) return whole(plain);
  const groups = blocks / minimumGroup;
  const factors = lines(pick('minimumScales', 'float32', groups), groups, []);
  const minimum =
    minimumGroup === 1 ? factors : scaled(lines(pick('minimumLevels', 'uint8', blocks), groups, [minimumGroup]), factors, []);
  return whole(add(g, [plain, lines(minimum, blocks, [1])]));
}

/** Unpacks two numbers out of every byte. */
function unfolded(g: Graph, x: Value): Value {
  const parts = [lowerHalf(g, x), upperHalf(g, x)].map((part) => g.node('Unsqueeze', [part, g.constant('int64', [1], [2])]));
  return g.node('Concat', parts, { axis: { int: 2 } });
}

/** Picks rows of 4-bit numbers, whose first half lies in the lower halves of the bytes `[rows / 2, columns]`. */
function rowsOfHalves(g: Graph, ids: Value, halves: Value): Value {
  const [half] = halves.shape as [number, number];
  // Numbers of tokens are exact in float32, which every accelerator divides.
  const { index, isUpper } = g.float32(() => {
    const number = g.node('Cast', [ids], { to: { int: 1 } });
    const upper = g.node('Floor', [g.node('Div', [number, g.scalar(half)])]);
    const within = sub(g, [number, mul(g, [upper, g.scalar(half)])]);
    return {
      index: g.node('Cast', [within], { to: { int: 6 } }),
      isUpper: g.node('Cast', [reshape(g, [upper], { shape: [ids.shape[0]!, 1] })], { to: { int: 9 } }),
    };
  });
  const picked = g.node('Gather', [halves, index], { axis: { int: 0 } });
  return g.node('Where', [isUpper, upperHalf(g, picked), lowerHalf(g, picked)]);
}

/** Casts a weight that is stored in half precision or bfloat16 to float32. */
export function widened(g: Graph, x: Value): Value {
  return x.dtype === 'float32' ? x : g.node('Cast', [x], { to: { int: dataTypes.float32.onnx } });
}

/** Builds `linear` with a packed matrix; `product` multiplies by it. */
export function packedLinear(
  g: Graph,
  x: Value,
  weight: PackedWeight,
  bias: Value | null,
  lora: LoraFactors | null,
  product: Op<{ readonly weight: PackedWeight }> = packedProduct,
): Value {
  // These need W itself, or the result of `linear`.
  if (lora?.dropout !== undefined || lora?.taken !== undefined) return linear(g, x, dequantized(g, weight), bias, lora);
  const base = product(g, [x], { weight });
  const biased = (y: Value): Value => (bias === null ? y : add(g, [y, bias]));
  if (lora === null) return biased(base);
  const { a, b, scale, outputScale } = lora;
  const u = g.scope('lora', () => gemm(g, [x, a], { transB: true }));
  const sum = g.scope('lora', () => add(g, [base, gemm(g, [u, b], { transB: true, alpha: scale })]));
  return biased(outputScale === undefined ? sum : mul(g, [sum, outputScale]));
}
