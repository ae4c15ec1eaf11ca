/**
 * Blocks of 32 elements with one scale, ggml's oldest types. Layouts are those of block_q4_0 to block_q8_0 in ggml-common.h, values those
 * of dequantize_row_q4_0 to dequantize_row_q8_0 in ggml-quants.c. All numbers are little-endian, `d` and `m` are half precision.
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
import { bits16, type BlockType } from './block.ts';

interface NibbleLayout {
  readonly minimum: boolean;
  readonly fifthBits: boolean;
}

function nibbles(id: number, { minimum, fifthBits }: NibbleLayout): BlockType {
  const high = minimum ? 4 : 2;
  const low = fifthBits ? high + 4 : high;
  const bytes = low + 16;
  const zero = minimum ? 0 : fifthBits ? 16 : 8;
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
  };
}

export const Q4_0 = nibbles(2, { minimum: false, fifthBits: false });
export const Q4_1 = nibbles(3, { minimum: true, fifthBits: false });
export const Q5_0 = nibbles(6, { minimum: false, fifthBits: true });
export const Q5_1 = nibbles(7, { minimum: true, fifthBits: true });

export const Q8_0: BlockType = {
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
};
