/**
 * Reads and makes blocks of 32 elements with one scale, ggml's oldest types. The layouts are those of block_q4_0 to block_q8_0
 * in ggml-common.h, the values those of dequantize_row_q4_0 to dequantize_row_q8_0 in ggml-quants.c, and the bytes those of
 * quantize_q4_0 to quantize_q8_0 there. All numbers are little-endian; `d` and `m` are half precision.
 *
 *     Q4_0  18 bytes   d, 16 x two nibbles                      x = (q - 8) d
 *     Q4_1  20 bytes   d, m, 16 x two nibbles                   x = q d + m
 *     Q5_0  22 bytes   d, 32 fifth bits, 16 x two nibbles       x = (q - 16) d
 *     Q5_1  24 bytes   d, m, 32 fifth bits, 16 x two nibbles    x = q d + m
 *     Q8_0  34 bytes   d, 32 signed bytes                       x = q d
 *
 * The low nibble of byte i is element i, the high one element 16 + i; fifth bits are in the order of the elements.
 */
import { halfValues } from '../float.ts';
import { bits16, squares, storeHalf, weigh, type QuantizedType } from './block.ts';
import { extreme, fitAffine, fitSymmetric, weightedCandidates } from './search.ts';

const f = Math.fround;

interface NibbleLayout {
  readonly minimum: boolean;
  readonly fifthBits: boolean;
}

function nibbles(id: number, { minimum, fifthBits }: NibbleLayout): QuantizedType {
  const high = minimum ? 4 : 2;
  const low = fifthBits ? high + 4 : high;
  const bytes = low + 16;
  const top = fifthBits ? 31 : 15;
  const zero = minimum ? 0 : (top + 1) / 2;
  // These buffers are reused while up to four blocks are made.
  const levels = new Uint8Array(128);
  const weights = new Float32Array(128);
  const scales = new Float32Array(4);
  const minima = new Float32Array(4);

  /** Makes a block without importance, from its extremes alone, rounding halves up. */
  function quantizeByExtremes(x: Float32Array, from: number, blocks: Uint8Array, block: number): void {
    let least = x[from]!;
    let most = least;
    for (let i = 1; i < 32; i++) {
      const value = x[from + i]!;
      if (value < least) least = value;
      if (value > most) most = value;
    }
    const d = minimum ? f(f(most - least) / top) : f(extreme(x, from, 32) / -zero);
    const inverse = d === 0 ? 0 : f(1 / d);
    const offset = minimum ? least : 0;
    for (let i = 0; i < 32; i++) levels[i] = Math.min(top, Math.trunc(f(f(f(x[from + i]! - offset) * inverse) + (zero + 0.5))));
    storeHalf(blocks, block, d);
    if (minimum) storeHalf(blocks, block + 2, least);
  }

  /** Searches the scales of `count` blocks, whose elements have `weights`. */
  function search(x: Float32Array, from: number, count: number): void {
    const used = weights.subarray(0, 32 * count);
    const found = scales.subarray(0, count);
    if (minimum) fitAffine(x, from, used, top, weightedCandidates, levels, found, minima);
    else fitSymmetric(x, from, used, zero, levels, found);
  }

  function storeLevels(from: number, blocks: Uint8Array, block: number): void {
    for (let i = 0; i < 16; i++) blocks[block + low + i] = (levels[from + i]! & 15) | ((levels[from + 16 + i]! & 15) << 4);
    if (fifthBits) for (let i = 0; i < 32; i++) blocks[block + high + (i >>> 3)]! |= (levels[from + i]! >>> 4) << (i & 7);
  }

  return {
    id,
    elements: 32,
    bytes,
    dequantize(blocks, target) {
      const half = halfValues();
      for (let block = 0, out = 0; block < blocks.length; block += bytes, out += 32) {
        const d = half[bits16(blocks, block)]!;
        // Adding -0 changes nothing, not even the sign of a zero.
        const m = minimum ? half[bits16(blocks, block + 2)]! : -0;
        const fifth = fifthBits ? bits16(blocks, block + high) | (bits16(blocks, block + high + 2) << 16) : 0;
        for (let i = 0; i < 16; i++) {
          const pair = blocks[block + low + i]!;
          target[out + i] = ((pair & 15) + ((fifth >>> i) & 1) * 16 - zero) * d + m;
          target[out + 16 + i] = ((pair >>> 4) + ((fifth >>> (16 + i)) & 1) * 16 - zero) * d + m;
        }
      }
    },
    quantize(rows, width, importance, blocks) {
      if (importance === null) {
        for (let from = 0, block = 0; from < rows.length; from += 32, block += bytes) {
          quantizeByExtremes(rows, from, blocks, block);
          storeLevels(0, blocks, block);
        }
        return;
      }
      let meanSquare = 0;
      for (let from = 0, block = 0; from < rows.length; from += 128) {
        const count = Math.min(4, (rows.length - from) / 32);
        for (let i = 0; i < count; i++) {
          const at = from + 32 * i;
          if (at % width === 0) meanSquare = f(squares(rows, at, width) / width);
          weigh(rows, at, importance, at % width, meanSquare, weights, 32 * i, 32);
        }
        search(rows, from, count);
        for (let i = 0; i < count; i++, block += bytes) {
          storeHalf(blocks, block, scales[i]!);
          if (minimum) storeHalf(blocks, block + 2, -minima[i]!);
          storeLevels(32 * i, blocks, block);
        }
      }
    },
  };
}

export const Q4_0 = nibbles(2, { minimum: false, fifthBits: false });
export const Q4_1 = nibbles(3, { minimum: true, fifthBits: false });
export const Q5_0 = nibbles(6, { minimum: false, fifthBits: true });
export const Q5_1 = nibbles(7, { minimum: true, fifthBits: true });

/** Uses d = max |x| / 127 whatever the importance, and q = x / d with the float32 d, halves rounded away from zero. */
export const Q8_0: QuantizedType = {
  id: 8,
  elements: 32,
  bytes: 34,
  dequantize(blocks, target) {
    const half = halfValues();
    const signed = new Int8Array(blocks.buffer, blocks.byteOffset, blocks.length);
    for (let block = 0, out = 0; block < blocks.length; block += 34, out += 32) {
      const d = half[bits16(blocks, block)]!;
      for (let i = 0; i < 32; i++) target[out + i] = signed[block + 2 + i]! * d;
    }
  },
  quantize(rows, _width, _importance, blocks) {
    for (let from = 0, block = 0; from < rows.length; from += 32, block += 34) {
      const d = f(Math.abs(extreme(rows, from, 32)) / 127);
      const inverse = d === 0 ? 0 : f(1 / d);
      storeHalf(blocks, block, d);
      for (let i = 0; i < 32; i++) {
        const scaled = f(rows[from + i]! * inverse);
        blocks[block + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
      }
    }
  },
};
