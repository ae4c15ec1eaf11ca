/**
 * Super-blocks of 256 elements: groups of 16 or 32 with a small scale (and minimum) each, and half-precision factors for these. Layouts are
 * those of block_q2_K to block_q6_K in ggml-common.h, values those of dequantize_row_q2_K to dequantize_row_q6_K in ggml-quants.c.
 *
 *     Q2_K   84 bytes   16 x (scale | minimum << 4), 64 x four 2-bit q, d, dmin                    x = d scale q - dmin minimum
 *     Q3_K  110 bytes   32 x eight third bits, 64 x four 2-bit q, 12 bytes of scales, d            x = d (scale - 32) (q - 4)
 *     Q4_K  144 bytes   d, dmin, 12 bytes of scales and minima, 128 x two nibbles                  x = d scale q - dmin minimum
 *     Q5_K  176 bytes   d, dmin, 12 bytes of scales and minima, 32 x eight fifth bits, 128 x two   x = d scale q - dmin minimum
 *     Q6_K  210 bytes   128 x two nibbles, 64 x four 2-bit tops, 16 signed scales, d               x = d scale (q - 32)
 *
 * Halves (d, dmin), 6-bit scales and the quants multiply without rounding in float64 and even in float32: only the last subtraction rounds.
 */
import { halfValues } from '../float.ts';
import { bits16, type BlockType } from './block.ts';

/** 2-bit quants in halves of 128: byte i of 32 has elements i, 32 + i, 64 + i and 96 + i from its lowest bits up. */
export const Q2_K: BlockType = {
  id: 10,
  elements: 256,
  bytes: 84,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 84, out += 256) {
      const d = half[bits16(blocks, block + 80)]!;
      const dmin = half[bits16(blocks, block + 82)]!;
      for (let group = 0; group < 16; group++) {
        const packed = blocks[block + group]!;
        const scale = d * (packed & 15);
        const minimum = dmin * (packed >>> 4);
        const quants = block + 16 + (group >>> 3) * 32 + (group & 1) * 16;
        const shift = group & 6;
        const to = out + group * 16;
        for (let i = 0; i < 16; i++) target[to + i] = scale * ((blocks[quants + i]! >>> shift) & 3) - minimum;
      }
    }
  },
};

/** As Q2_K, and bit g of high byte i is the third bit of element 32 g + i. */
export const Q3_K: BlockType = {
  id: 11,
  elements: 256,
  bytes: 110,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 110, out += 256) {
      const d = half[bits16(blocks, block + 108)]!;
      for (let group = 0; group < 16; group++) {
        const scale = d * (scale3(blocks, block + 96, group) - 32);
        const quants = block + 32 + (group >>> 3) * 32 + (group & 1) * 16;
        const high = block + (group & 1) * 16;
        const shift = group & 6;
        const highShift = group >>> 1;
        const to = out + group * 16;
        for (let i = 0; i < 16; i++)
          target[to + i] = scale * (((blocks[quants + i]! >>> shift) & 3) + ((blocks[high + i]! >>> highShift) & 1) * 4 - 4);
      }
    }
  },
};

/** Q3_K's 16 scales of 6 bits: nibbles of bytes 0 to 7 (first the low ones), and 2-bit tops in bytes 8 to 11. */
function scale3(bytes: Uint8Array, at: number, group: number): number {
  const low = group < 8 ? bytes[at + group]! & 15 : bytes[at + group - 8]! >>> 4;
  return low | (((bytes[at + 8 + (group & 3)]! >>> (2 * (group >>> 2))) & 3) << 4);
}

/** Groups of 32; two groups share 32 bytes, the first has the low nibbles. */
export const Q4_K: BlockType = {
  id: 12,
  elements: 256,
  bytes: 144,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 144, out += 256) {
      const d = half[bits16(blocks, block)]!;
      const dmin = half[bits16(blocks, block + 2)]!;
      for (let group = 0; group < 8; group++) {
        const scale = d * scale6(blocks, block + 4, group);
        const minimum = dmin * minimum6(blocks, block + 4, group);
        const quants = block + 16 + (group >>> 1) * 32;
        const shift = (group & 1) * 4;
        const to = out + group * 32;
        for (let i = 0; i < 32; i++) target[to + i] = scale * ((blocks[quants + i]! >>> shift) & 15) - minimum;
      }
    }
  },
};

/** As Q4_K, and bit g of high byte i is the fifth bit of element 32 g + i. */
export const Q5_K: BlockType = {
  id: 13,
  elements: 256,
  bytes: 176,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 176, out += 256) {
      const d = half[bits16(blocks, block)]!;
      const dmin = half[bits16(blocks, block + 2)]!;
      for (let group = 0; group < 8; group++) {
        const scale = d * scale6(blocks, block + 4, group);
        const minimum = dmin * minimum6(blocks, block + 4, group);
        const high = block + 16;
        const quants = block + 48 + (group >>> 1) * 32;
        const shift = (group & 1) * 4;
        const to = out + group * 32;
        for (let i = 0; i < 32; i++)
          target[to + i] =
            scale * (((blocks[quants + i]! >>> shift) & 15) + ((blocks[high + i]! >>> group) & 1) * 16) - minimum;
      }
    }
  },
};

/** Q4_K's and Q5_K's 8 scales of 6 bits: bytes 0 to 3 hold the first four; the others are a low nibble of bytes 8 to 11 under the first's tops. */
function scale6(bytes: Uint8Array, at: number, group: number): number {
  return group < 4 ? bytes[at + group]! & 63 : (bytes[at + group + 4]! & 15) | ((bytes[at + group - 4]! >>> 6) << 4);
}

/** Their 8 minima likewise: bytes 4 to 7, and the high nibbles of bytes 8 to 11. */
function minimum6(bytes: Uint8Array, at: number, group: number): number {
  return group < 4 ? bytes[at + group + 4]! & 63 : (bytes[at + group + 4]! >>> 4) | ((bytes[at + group]! >>> 6) << 4);
}

/** Halves of 128: 64 bytes of nibbles (low ones elements 0 to 63), 32 bytes of tops with elements i, 32 + i, 64 + i and 96 + i. */
export const Q6_K: BlockType = {
  id: 14,
  elements: 256,
  bytes: 210,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 210, out += 256) {
      const d = half[bits16(blocks, block + 208)]!;
      for (let group = 0; group < 16; group++) {
        const scale = d * ((blocks[block + 192 + group]! << 24) >> 24);
        const low = block + (group >>> 3) * 64 + (group & 3) * 16;
        const high = block + 128 + (group >>> 3) * 32 + (group & 1) * 16;
        const lowShift = group & 4;
        const highShift = group & 6;
        const to = out + group * 16;
        for (let i = 0; i < 16; i++)
          target[to + i] =
            scale * ((((blocks[low + i]! >>> lowShift) & 15) | (((blocks[high + i]! >>> highShift) & 3) << 4)) - 32);
      }
    }
  },
};
