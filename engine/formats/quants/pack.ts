/**
 * Packs matrices in few bits as ONNX Runtime reads them: the bytes are those of MatMulNBits (ContribOperators.md,
 * com.microsoft.MatMulNBits), which DequantizeLinear reads too. A quantized matrix of a GGUF keeps exactly its values.
 */
import { assert } from '../../problem.ts';
import { halfValues } from '../float.ts';
import { bits16 } from './block.ts';
import { minimum6, scale6 } from './superblocks.ts';

export interface PackedRows {
  /** Holds the quants, `[rows, blocks, blockSize * bits / 8]`; the first of two 4-bit numbers in a byte is its lower half. */
  readonly values: Uint8Array;
  /** Holds the scale of each block, `[rows, blocks]`. */
  readonly scales: Float32Array;
  /** Holds the zero point of each block, `[rows, ⌈blocks * bits / 8⌉]`, packed as the values are. */
  readonly zeroPoints: Uint8Array;
}

/** Holds the way a matrix is stored in few bits: x = (q - zero point) scale, plus a minimum where its blocks have one. */
export interface PackedFormat {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /**
   * Says how many blocks share the factor of their minima, which are then 8-bit integers; 1 where the minima are float32, null
   * without minima.
   */
  readonly minimumGroup: number | null;
}

export interface PackedMatrix extends PackedRows {
  /** Holds the factors of the minima, `[rows, blocks / minimumGroup]`. */
  readonly minimumScales: Float32Array | null;
  /** Holds the integers of the minima, `[rows, blocks]`, or null where `minimumScales` are the minima themselves. */
  readonly minimumLevels: Uint8Array | null;
  /** Holds the minima that a product with 4-bit numbers adds, `[rows, blocks]`. */
  readonly nibbleMinima: Float32Array | null;
}

/** Gives the zero point of 4-bit numbers in a product that is given none. Giving none is faster. */
const ownZero = 8;

/**
 * Quantizes a matrix `[rows, columns]`: each block spans its smallest to its largest number and 0, and value = (q - zero point)
 * * scale.
 */
export function quantizeRows(matrix: Float32Array, rows: number, columns: number, bits: 4 | 8, blockSize: number): PackedRows {
  const blocks = Math.ceil(columns / blockSize);
  const most = 2 ** bits - 1;
  const packed = emptyRows(rows, blocks, bits, blockSize);
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++) {
      const start = row * columns + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * columns);
      let low = 0;
      let high = 0;
      for (let i = start; i < end; i++) {
        const value = matrix[i]!;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      const scale = Math.fround((high - low) / most);
      const zero = scale === 0 ? 0 : Math.min(most, Math.max(0, Math.round(-low / scale)));
      packed.scales[row * blocks + block] = scale;
      storeZero(packed.zeroPoints, row, block, blocks, bits, zero);
      const valueAt = ((row * blocks + block) * blockSize * bits) / 8;
      for (let i = start; i < end; i++) {
        const q = scale === 0 ? zero : Math.min(most, Math.max(0, Math.round(matrix[i]! / scale) + zero));
        const at = i - start;
        if (bits === 8) packed.values[valueAt + at] = q;
        else packed.values[valueAt + (at >> 1)]! |= q << (4 * (at & 1));
      }
    }
  return packed;
}

function emptyRows(rows: number, blocks: number, bits: 4 | 8, blockSize: number): PackedRows {
  return {
    values: new Uint8Array((rows * blocks * blockSize * bits) / 8),
    scales: new Float32Array(rows * blocks),
    zeroPoints: new Uint8Array(rows * Math.ceil((blocks * bits) / 8)),
  };
}

function storeZero(zeroPoints: Uint8Array, row: number, block: number, blocks: number, bits: 4 | 8, zero: number): void {
  const at = row * Math.ceil((blocks * bits) / 8);
  if (bits === 8) zeroPoints[at + block] = zero;
  else zeroPoints[at + (block >> 1)]! |= zero << (4 * (block & 1));
}

/**
 * Splits 8-bit numbers into twice as many 4-bit ones: each row has first all lower halves, then all upper ones at 16 times the
 * scale, and zero points are split likewise. The runtime has a float32 product for 4-bit numbers and none for 8-bit ones.
 */
export function inNibbles(
  { values, scales, zeroPoints }: PackedRows,
  rows: number,
  blocks: number,
  blockSize: number,
): PackedRows {
  const parted = emptyRows(rows, 2 * blocks, 4, blockSize);
  const columns = blocks * blockSize;
  for (let row = 0; row < rows; row++) {
    const [low, high] = [row * columns, row * columns + columns / 2];
    for (let i = 0; i < columns / 2; i++) {
      const a = values[row * columns + 2 * i]!;
      const b = values[row * columns + 2 * i + 1]!;
      parted.values[low + i] = (a & 15) | ((b & 15) << 4);
      parted.values[high + i] = (a >> 4) | (b & 240);
    }
    for (let block = 0; block < blocks; block++) {
      const scale = scales[row * blocks + block]!;
      const zero = zeroPoints[row * blocks + block]!;
      parted.scales[2 * row * blocks + block] = scale;
      parted.scales[(2 * row + 1) * blocks + block] = 16 * scale;
      storeZero(parted.zeroPoints, row, block, 2 * blocks, 4, zero & 15);
      storeZero(parted.zeroPoints, row, blocks + block, 2 * blocks, 4, zero >> 4);
    }
  }
  return parted;
}

/**
 * Reorders 4-bit numbers for the fastest unpacking: the first half of all numbers becomes the lower halves of the bytes, the
 * second half the upper ones. Two operations on whole bytes then separate them.
 */
export function splitHalves({ values }: PackedRows): Uint8Array {
  const halves = new Uint8Array(values.length);
  const middle = values.length / 2;
  for (let i = 0; i < middle; i++) {
    const a = values[i]!;
    const b = values[middle + i]!;
    halves[2 * i] = (a & 15) | ((b & 15) << 4);
    halves[2 * i + 1] = (a >> 4) | (b & 240);
  }
  return halves;
}

/** Returns the zero points as one byte each, `[rows, blocks]`, from 4-bit ones. */
export function zeroLevels({ zeroPoints }: PackedRows, rows: number, blocks: number): Uint8Array {
  const width = Math.ceil(blocks / 2);
  const levels = new Uint8Array(rows * blocks);
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++)
      levels[row * blocks + block] = (zeroPoints[row * width + (block >> 1)]! >> (4 * (block & 1))) & 15;
  return levels;
}

/** Returns the matrix `[rows, columns]` as float32 again, rounded as DequantizeLinear rounds. */
export function dequantizeRows(
  packed: PackedRows,
  rows: number,
  columns: number,
  bits: 4 | 8,
  blockSize: number,
): Float32Array {
  const blocks = columns / blockSize;
  const matrix = new Float32Array(rows * columns);
  const width = Math.ceil((blocks * bits) / 8);
  const { values, scales, zeroPoints } = packed;
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++) {
      const zeroByte = zeroPoints[row * width + (bits === 8 ? block : block >> 1)]!;
      const zero = bits === 8 ? zeroByte : (zeroByte >> (4 * (block & 1))) & 15;
      const scale = scales[row * blocks + block]!;
      const from = row * columns + block * blockSize;
      for (let i = from; i < from + blockSize; i++) {
        const q = bits === 8 ? values[i]! : (values[i >> 1]! >> (4 * (i & 1))) & 15;
        matrix[i] = (q - zero) * scale;
      }
    }
  return matrix;
}

// ── Matrices of a GGUF ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Describes a stored type beyond its values: x = (q - zero) scale + minimum. */
interface StoredFormat extends PackedFormat {
  readonly zero: number;
  /** Gives the elements and bytes of a stored block, which holds one or several packed blocks. */
  readonly elements: number;
  readonly bytes: number;
  scale(stored: Uint8Array, at: number, block: number): number;
  minimumScale?(stored: Uint8Array, at: number): number;
  minimumLevel?(stored: Uint8Array, at: number, block: number): number;
}

const half = (bytes: Uint8Array, at: number): number => halfValues()[bits16(bytes, at)]!;

function blocks32(bits: 4 | 8, bytes: number, zero: number, hasMinimum: boolean): StoredFormat {
  const scale = (stored: Uint8Array, at: number): number => half(stored, at);
  const minimum = hasMinimum ? { minimumScale: (stored: Uint8Array, at: number): number => half(stored, at + 2) } : {};
  return { bits, blockSize: 32, minimumGroup: hasMinimum ? 1 : null, zero, elements: 32, bytes, scale, ...minimum };
}

function superblocks32(bits: 4 | 8, bytes: number): StoredFormat {
  return {
    ...{ bits, blockSize: 32, minimumGroup: 8, zero: 0, elements: 256, bytes },
    scale: (stored, at, block) => half(stored, at) * scale6(stored, at + 4, block),
    minimumScale: (stored, at) => -half(stored, at + 2),
    minimumLevel: (stored, at, block) => minimum6(stored, at + 4, block),
  };
}

/**
 * Describes the stored types. Those of 5 and 6 bits are packed in 8 bits. The layouts of blocks are described in blocks32.ts
 * and superblocks.ts.
 */
const storedFormats: Readonly<Record<string, StoredFormat>> = {
  Q4_0: blocks32(4, 18, 8, false),
  Q4_1: blocks32(4, 20, 0, true),
  Q5_0: blocks32(8, 22, 16, false),
  Q5_1: blocks32(8, 24, 0, true),
  Q8_0: blocks32(8, 34, 128, false),
  Q4_K: superblocks32(4, 144),
  Q5_K: superblocks32(8, 176),
  Q6_K: {
    ...{ bits: 8, blockSize: 16, minimumGroup: null, zero: 32, elements: 256, bytes: 210 },
    scale: (stored, at, block) => half(stored, at + 208) * ((stored[at + 192 + block]! << 24) >> 24),
  },
};

/** Returns how a matrix of this type is packed, or null where its values have no such form. */
export function packedFormat(type: string): PackedFormat | null {
  return storedFormats[type] ?? null;
}

/**
 * Returns whether the product of a matrix of this type needs no zero points: either they equal the product's own, or the minima
 * make up for the difference.
 */
export function isCentred(type: string): boolean {
  const { bits, zero, minimumGroup } = storedFormats[type]!;
  return bits === 4 && (zero === ownZero || minimumGroup !== null);
}

/**
 * Packs a quantized matrix with exactly its values. `values` are the float32 values `[rows, columns]`, `stored` its bytes in
 * the file, and `storedRow` maps a row to its place in the file. Quants are computed from each value and its scale, and
 * checked.
 */
export function packStored(
  type: string,
  values: Float32Array,
  stored: Uint8Array,
  rows: number,
  columns: number,
  storedRow: (row: number) => number,
): PackedMatrix {
  const format = storedFormats[type]!;
  const { bits, blockSize, zero, elements, bytes, minimumGroup } = format;
  const blocks = columns / blockSize;
  const perStored = elements / blockSize;
  const levels = new Uint8Array(blockSize);
  const packed = emptyRows(rows, blocks, bits, blockSize);
  const minimumScales = minimumGroup === null ? null : new Float32Array((rows * blocks) / minimumGroup);
  const minimumLevels = minimumGroup === null || minimumGroup === 1 ? null : new Uint8Array(rows * blocks);
  const nibbleMinima = minimumGroup === null ? null : new Float32Array(rows * blocks);
  for (let row = 0; row < rows; row++) {
    const rowAt = (storedRow(row) * columns * bytes) / elements;
    for (let block = 0; block < blocks; block++) {
      const at = rowAt + Math.floor(block / perStored) * bytes;
      const own = row * blocks + block;
      const scale = Math.fround(format.scale(stored, at, block % perStored));
      let minimum = 0;
      if (minimumScales !== null) {
        const factor = format.minimumScale!(stored, at);
        const level = format.minimumLevel?.(stored, at, block % perStored);
        minimumScales[Math.floor(own / minimumGroup!)] = factor;
        if (minimumLevels !== null) minimumLevels[own] = level!;
        minimum = factor * (level ?? 1);
        // Both have few digits and similar magnitudes, so their sum is usually exact, and otherwise rounded once.
        nibbleMinima![own] = minimum + (bits === 4 ? (ownZero - zero) * scale : 0);
      }
      packed.scales[own] = scale;
      storeZero(packed.zeroPoints, row, block, blocks, bits, zero);
      const from = row * columns + block * blockSize;
      const found = blockLevels(values, from, scale, minimum, zero, levels);
      assert(found && largest(levels) < 2 ** bits, `a value of a ${type} matrix is none of its levels`);
      if (bits === 8) packed.values.set(levels, from);
      else for (let i = 0; i < blockSize; i += 2) packed.values[(from + i) >> 1] = levels[i]! | (levels[i + 1]! << 4);
    }
  }
  return { ...packed, minimumScales, minimumLevels, nibbleMinima };
}

/**
 * Finds the integers that a block of values comes from. Returns false when none between 0 and 255 give exactly these values.
 */
function blockLevels(
  values: Float32Array,
  from: number,
  scale: number,
  minimum: number,
  zero: number,
  levels: Uint8Array,
): boolean {
  for (let i = 0; i < levels.length; i++) {
    const value = values[from + i]!;
    const q = scale === 0 ? zero : Math.round((value - minimum) / scale) + zero;
    levels[i] = q;
    if (levels[i] !== q || Math.fround((q - zero) * scale + minimum) !== value) return false;
  }
  return true;
}

function largest(levels: Uint8Array): number {
  let most = 0;
  for (let i = 0; i < levels.length; i++) if (levels[i]! > most) most = levels[i]!;
  return most;
}
