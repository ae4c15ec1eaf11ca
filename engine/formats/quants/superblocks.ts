/**
 * Reads and makes super-blocks of 256 elements: groups of 16 or 32 with a small scale (and minimum) each, and half-precision
 * factors for these. The layouts are those of block_q2_K to block_q6_K in ggml-common.h, the values those of
 * dequantize_row_q2_K to dequantize_row_q6_K in ggml-quants.c, and the bytes those of quantize_q2_K to quantize_q6_K there.
 *
 *     Q2_K   84 bytes   16 x (scale | minimum << 4), 64 x four 2-bit q, d, dmin                    x = d scale q - dmin minimum
 *     Q3_K  110 bytes   32 x eight third bits, 64 x four 2-bit q, 12 bytes of scales, d            x = d (scale - 32) (q - 4)
 *     Q4_K  144 bytes   d, dmin, 12 bytes of scales and minima, 128 x two nibbles                  x = d scale q - dmin minimum
 *     Q5_K  176 bytes   d, dmin, 12 bytes of scales and minima, 32 x eight fifth bits, 128 x two   x = d scale q - dmin minimum
 *     Q6_K  210 bytes   128 x two nibbles, 64 x four 2-bit tops, 16 signed scales, d               x = d scale (q - 32)
 *
 * Halves (d, dmin), small scales and quants multiply without rounding even in float32: only the last subtraction rounds.
 */
import { halfValues } from '../float.ts';
import { bits16, squares, storeHalf, weigh, type QuantizedType } from './block.ts';
import {
  extreme,
  fitAffine,
  fitPositive,
  fitSymmetric,
  fitSymmetricByLevels,
  nearest,
  negligible,
  weightedCandidates,
  type AffineCandidates,
} from './search.ts';

const f = Math.fround;

// These buffers are reused while a block is made; nothing is kept between blocks.
const levels = new Uint8Array(256);
const weights = new Float32Array(256);
const groups16 = { scales: new Float32Array(16), minima: new Float32Array(16), weights: new Float32Array(16) };
const groups8 = { scales: new Float32Array(8), minima: new Float32Array(8), weights: new Float32Array(8) };
const scaleLevels = new Uint8Array(16);
const minimumLevels = new Uint8Array(16);
const unit = new Float32Array(1);

/** Computes the weights of a block's elements from the importance of their columns, and their sums over the groups. */
function weighBlock(
  x: Float32Array,
  from: number,
  width: number,
  importance: Float32Array,
  meanSquare: number,
  groupWeights: Float32Array,
): void {
  weigh(x, from, importance, from % width, meanSquare, weights, 0, 256);
  const n = 256 / groupWeights.length;
  for (let group = 0; group < groupWeights.length; group++) {
    let total = 0;
    for (let i = group * n; i < (group + 1) * n; i++) total = f(total + weights[i]!);
    groupWeights[group] = total;
  }
}

/** Computes the levels again from the scale and minimum as stored; a group whose scale is zero keeps those of its search. */
function relevelAffine(
  x: Float32Array,
  from: number,
  n: number,
  scale: number,
  minimum: number,
  top: number,
  to: number,
): void {
  if (scale === 0) return;
  for (let i = 0; i < n; i++) levels[to + i] = Math.max(0, Math.min(top, nearest(f(f(x[from + i]! + minimum) / scale))));
}

function relevelSymmetric(x: Float32Array, from: number, n: number, scale: number, half: number, to: number): void {
  if (scale === 0) return;
  for (let i = 0; i < n; i++) levels[to + i] = half + Math.max(-half, Math.min(half - 1, nearest(f(x[from + i]! / scale))));
}

/**
 * Packs the lower two bits of 256 levels. In halves of 128, byte i of 32 has elements i, 32 + i, 64 + i and 96 + i from its
 * lowest bits up.
 */
function packPairs(blocks: Uint8Array, at: number, shift: number): void {
  for (let i = 0; i < 256; i++) blocks[at + (i >>> 7) * 32 + (i & 31)]! |= ((levels[i]! >>> shift) & 3) << ((i >>> 4) & 6);
}

const candidates2: AffineCandidates = { first: f(-0.5), step: f(0.1), steps: 15, absolute: true };

export const Q2_K: QuantizedType = {
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
  quantize(rows, width, importance, blocks) {
    for (let from = 0, block = 0; from < rows.length; from += 256, block += 84) {
      const { scales, minima, weights: groupWeights } = groups16;
      if (importance === null) for (let i = 0; i < 256; i++) weights[i] = Math.abs(rows[from + i]!);
      else weighBlock(rows, from, width, importance, f(squares(rows, from, 256) / 256), groupWeights);
      const candidates = importance === null ? candidates2 : weightedCandidates;
      fitAffine(rows, from, weights, 3, candidates, levels, scales, minima);
      const byLargest = importance === null;
      const d = byLargest ? scaleByLargest(scales, 15, scaleLevels) : fitPositive(scales, groupWeights, 15, scaleLevels);
      const dmin = byLargest ? scaleByLargest(minima, 15, minimumLevels) : fitPositive(minima, groupWeights, 15, minimumLevels);
      const storedD = storeHalf(blocks, block + 80, d);
      const storedMin = storeHalf(blocks, block + 82, dmin);
      for (let group = 0; group < 16; group++) {
        const scale = scaleLevels[group]!;
        const minimum = minimumLevels[group]!;
        blocks[block + group] = scale | (minimum << 4);
        relevelAffine(rows, from + group * 16, 16, storedD * scale, storedMin * minimum, 3, group * 16);
      }
      packPairs(blocks, block + 16, 0);
    }
  },
};

/** Turns scales that are not negative into small integers, the largest into `top`; returns their unit. */
function scaleByLargest(scales: Float32Array, top: number, integers: Uint8Array): number {
  let largest = 0;
  for (const scale of scales) largest = Math.max(largest, scale);
  const inverse = largest > 0 ? f(top / largest) : 0;
  for (let i = 0; i < scales.length; i++) integers[i] = Math.min(top, nearest(f(inverse * scales[i]!)));
  return f(largest / top);
}

/** Packs quants as Q2_K does, with a third bit: bit g of high byte i is the third bit of element 32 g + i. */
export const Q3_K: QuantizedType = {
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
  quantize(rows, width, importance, blocks) {
    for (let from = 0, block = 0; from < rows.length; from += 256, block += 110) {
      const { scales, weights: groupWeights } = groups16;
      if (importance === null) {
        for (let group = 0; group < 16; group++)
          scales[group] = fitSymmetricByLevels(rows, from + group * 16, 16, 4, levels, group * 16);
        unit[0] = scaleByExtreme(scales, 32, scaleLevels);
      } else {
        weighBlock(rows, from, width, importance, f((2 * squares(rows, from, 256)) / 256), groupWeights);
        fitSymmetric(rows, from, weights, 4, levels, scales);
        fitSymmetric(scales, 0, groupWeights, 32, scaleLevels, unit);
      }
      const stored = storeHalf(blocks, block + 108, unit[0]!);
      for (let group = 0; group < 16; group++) {
        storeScale3(blocks, block + 96, group, scaleLevels[group]!);
        relevelSymmetric(rows, from + group * 16, 16, stored * (scaleLevels[group]! - 32), 4, group * 16);
      }
      for (let i = 0; i < 256; i++) blocks[block + (i & 31)]! |= (levels[i]! >>> 2) << (i >>> 5);
      packPairs(blocks, block + 32, 0);
    }
  },
};

/**
 * Turns scales of either sign into small integers from 0 to 2 half - 1; the scale of largest magnitude becomes 0 (that is,
 * -half). Returns their unit.
 */
function scaleByExtreme(scales: Float32Array, half: number, integers: Uint8Array): number {
  const largest = extreme(scales, 0, scales.length);
  if (largest === 0) {
    // They are stored as zeros, as in llama.cpp; a unit of zero makes them meaningless.
    integers.fill(0);
    return 0;
  }
  const inverse = f(-half / largest);
  for (let i = 0; i < scales.length; i++)
    integers[i] = half + Math.max(-half, Math.min(half - 1, nearest(f(inverse * scales[i]!))));
  return f(1 / inverse);
}

/**
 * Returns one of Q3_K's 16 scales of 6 bits: a nibble of bytes 0 to 7 (low nibbles first) with its upper two bits in bytes 8 to
 * 11.
 */
function scale3(bytes: Uint8Array, at: number, group: number): number {
  const low = group < 8 ? bytes[at + group]! & 15 : bytes[at + group - 8]! >>> 4;
  return low | (((bytes[at + 8 + (group & 3)]! >>> (2 * (group >>> 2))) & 3) << 4);
}

function storeScale3(bytes: Uint8Array, at: number, group: number, scale: number): void {
  bytes[at + (group & 7)]! |= (scale & 15) << (group < 8 ? 0 : 4);
  bytes[at + 8 + (group & 3)]! |= (scale >>> 4) << (2 * (group >>> 2));
}

/**
 * Defines a type with groups of 32. Two groups share 32 bytes of nibbles, and the first has the low ones. Bit g of high byte i
 * is the fifth bit of element 32 g + i.
 */
function nibbles256(id: number, fifthBits: boolean, candidates: AffineCandidates): QuantizedType {
  const high = 16;
  const low = fifthBits ? 48 : 16;
  const bytes = low + 128;
  const top = fifthBits ? 31 : 15;
  return {
    id,
    elements: 256,
    bytes,
    dequantize(blocks, target) {
      const half = halfValues();
      for (let block = 0, out = 0; block < blocks.length; block += bytes, out += 256) {
        const d = half[bits16(blocks, block)]!;
        const dmin = half[bits16(blocks, block + 2)]!;
        for (let group = 0; group < 8; group++) {
          const scale = d * scale6(blocks, block + 4, group);
          const minimum = dmin * minimum6(blocks, block + 4, group);
          const quants = block + low + (group >>> 1) * 32;
          const shift = (group & 1) * 4;
          const to = out + group * 32;
          for (let i = 0; i < 32; i++) {
            const fifth = fifthBits ? ((blocks[block + high + i]! >>> group) & 1) << 4 : 0;
            target[to + i] = scale * (((blocks[quants + i]! >>> shift) & 15) | fifth) - minimum;
          }
        }
      }
    },
    quantize(rows, width, importance, blocks) {
      for (let from = 0, block = 0; from < rows.length; from += 256, block += bytes) {
        const { scales, minima, weights: groupWeights } = groups8;
        if (importance === null) weighBySize(rows, from);
        else weighBlock(rows, from, width, importance, f((2 * squares(rows, from, 256)) / 256), groupWeights);
        const tried = importance === null ? candidates : weightedCandidates;
        fitAffine(rows, from, weights, top, tried, levels, scales, minima);
        const byLargest = importance === null;
        const d = byLargest ? scaleByLargest(scales, 63, scaleLevels) : fitPositive(scales, groupWeights, 63, scaleLevels);
        const dmin = byLargest
          ? scaleByLargest(minima, 63, minimumLevels)
          : fitPositive(minima, groupWeights, 63, minimumLevels);
        const storedD = storeHalf(blocks, block, d);
        const storedMin = storeHalf(blocks, block + 2, dmin);
        for (let group = 0; group < 8; group++) {
          const scale = scaleLevels[group]!;
          const minimum = minimumLevels[group]!;
          storeScaleAndMinimum6(blocks, block + 4, group, scale, minimum);
          relevelAffine(rows, from + group * 32, 32, storedD * scale, storedMin * minimum, top, group * 32);
        }
        for (let i = 0; i < 256; i++) {
          blocks[block + low + (i >>> 6) * 32 + (i & 31)]! |= (levels[i]! & 15) << ((i & 32) >>> 3);
          if (fifthBits) blocks[block + high + (i & 31)]! |= (levels[i]! >>> 4) << (i >>> 5);
        }
      }
    },
  };
}

export const Q4_K = nibbles256(12, false, { first: -1, step: f(0.1), steps: 20, absolute: false });
export const Q5_K = nibbles256(13, true, { first: f(-0.5), step: f(0.1), steps: 15, absolute: false });

/** Weighs elements without importance: each counts by its magnitude plus the root mean square of its group. */
function weighBySize(x: Float32Array, from: number): void {
  for (let group = 0; group < 256; group += 32) {
    const size = f(Math.sqrt(f(squares(x, from + group, 32) / 32)));
    for (let i = group; i < group + 32; i++) weights[i] = size + Math.abs(x[from + i]!);
  }
}

/**
 * Returns one of the 8 scales of 6 bits of Q4_K and Q5_K. Bytes 0 to 3 hold the first four; each of the others is a low nibble
 * of bytes 8 to 11 below the top two bits of the matching byte of the first four.
 */
export function scale6(bytes: Uint8Array, at: number, group: number): number {
  return group < 4 ? bytes[at + group]! & 63 : (bytes[at + group + 4]! & 15) | ((bytes[at + group - 4]! >>> 6) << 4);
}

/** Returns one of their 8 minima in the same way, from bytes 4 to 7 and the high nibbles of bytes 8 to 11. */
export function minimum6(bytes: Uint8Array, at: number, group: number): number {
  return group < 4 ? bytes[at + group + 4]! & 63 : (bytes[at + group + 4]! >>> 4) | ((bytes[at + group]! >>> 6) << 4);
}

function storeScaleAndMinimum6(bytes: Uint8Array, at: number, group: number, scale: number, minimum: number): void {
  if (group < 4) {
    bytes[at + group] = scale;
    bytes[at + group + 4] = minimum;
  } else {
    bytes[at + group + 4] = (scale & 15) | ((minimum & 15) << 4);
    bytes[at + group - 4]! |= (scale >>> 4) << 6;
    bytes[at + group]! |= (minimum >>> 4) << 6;
  }
}

/**
 * Packs halves of 128 elements: 64 bytes of nibbles (the low ones are elements 0 to 63) and 32 bytes of top bits, packed as
 * Q2_K's quants.
 */
export const Q6_K: QuantizedType = {
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
  quantize(rows, width, importance, blocks) {
    for (let from = 0, block = 0; from < rows.length; from += 256, block += 210) {
      const { scales } = groups16;
      // The weight here is the importance itself, or without importance the square of the element.
      for (let i = 0; i < 256; i++)
        weights[i] = importance === null ? rows[from + i]! * rows[from + i]! : importance[(from % width) + i]!;
      fitSymmetric(rows, from, weights, 32, levels, scales);
      const largest = extreme(scales, 0, 16);
      if (Math.abs(largest) < negligible) continue;
      const inverse = f(-128 / largest);
      const stored = storeHalf(blocks, block + 208, f(1 / inverse));
      for (let group = 0; group < 16; group++) {
        const scale = Math.min(127, nearest(f(inverse * scales[group]!)));
        blocks[block + 192 + group] = scale;
        relevelSymmetric(rows, from + group * 16, 16, stored * scale, 32, group * 16);
      }
      for (let i = 0; i < 256; i++) blocks[block + (i >>> 7) * 64 + (i & 63)]! |= (levels[i]! & 15) << ((i & 64) >>> 4);
      packPairs(blocks, block + 128, 4);
    }
  },
};
