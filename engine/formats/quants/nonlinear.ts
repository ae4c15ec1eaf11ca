/**
 * Reads 4-bit indices into a table of 16 levels that lie closer together around zero. The layouts are those of block_iq4_nl and
 * block_iq4_xs in ggml-common.h, the values those of dequantize_row_iq4_nl and dequantize_row_iq4_xs in ggml-quants.c.
 *
 *     IQ4_NL   18 bytes   32 elements: d, 16 x two nibbles                                              x = d level
 *     IQ4_XS  136 bytes   256 elements: d, 8 tops of scales (2 bits), 8 low nibbles, 8 x 16 x two       x = d (scale - 32) level
 */
import { halfValues } from '../float.ts';
import { bits16, type BlockType } from './block.ts';

/** Holds the table of levels: kvalues_iq4nl in ggml-common.h. */
const levels = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

function dequantize32(blocks: Uint8Array, at: number, scale: number, target: Float32Array, to: number): void {
  for (let i = 0; i < 16; i++) {
    const pair = blocks[at + i]!;
    target[to + i] = scale * levels[pair & 15]!;
    target[to + 16 + i] = scale * levels[pair >>> 4]!;
  }
}

export const IQ4_NL: BlockType = {
  id: 20,
  elements: 32,
  bytes: 18,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 18, out += 32)
      dequantize32(blocks, block + 2, half[bits16(blocks, block)]!, target, out);
  },
};

export const IQ4_XS: BlockType = {
  id: 23,
  elements: 256,
  bytes: 136,
  dequantize(blocks, target) {
    const half = halfValues();
    for (let block = 0, out = 0; block < blocks.length; block += 136, out += 256) {
      const d = half[bits16(blocks, block)]!;
      const tops = bits16(blocks, block + 2);
      for (let group = 0; group < 8; group++) {
        const low = (blocks[block + 4 + (group >>> 1)]! >>> (4 * (group & 1))) & 15;
        const scale = d * ((low | (((tops >>> (2 * group)) & 3) << 4)) - 32);
        dequantize32(blocks, block + 8 + group * 16, scale, target, out + group * 32);
      }
    }
  },
};
