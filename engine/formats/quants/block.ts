/**
 * Defines what every block type provides: how many elements are stored together, in how many bytes, and how they are read and
 * made.
 */
import { halfValues, toHalf } from '../float.ts';

export interface BlockType {
  /** Gives the number of the type in a GGUF (ggml.h's enum ggml_type). */
  readonly id: number;
  readonly elements: number;
  readonly bytes: number;
  /** Writes the float32 values of whole blocks to `target`, bit for bit those of ggml's dequantize_row functions. */
  dequantize(blocks: Uint8Array, target: Float32Array): void;
}

export interface QuantizedType extends BlockType {
  /**
   * Makes the blocks of rows of `width` elements, byte for byte as ggml_quantize_chunk does. `importance`, if given, is a
   * weight for each column. `blocks` must be all zero before the call.
   */
  quantize(rows: Float32Array, width: number, importance: Float32Array | null, blocks: Uint8Array): void;
}

/** Returns the 16 bits at byte `at`, little-endian. */
export function bits16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** Stores a value in half precision at byte `at` and returns the rounded value. */
export function storeHalf(bytes: Uint8Array, at: number, value: number): number {
  const half = toHalf(value);
  bytes[at] = half & 255;
  bytes[at + 1] = half >>> 8;
  return halfValues()[half]!;
}

/** Returns the sum of the squares of `n` values, added up in float32. */
export function squares(values: Float32Array, from: number, n: number): number {
  let sum = 0;
  for (let i = from; i < from + n; i++) sum = Math.fround(sum + Math.fround(values[i]! * values[i]!));
  return sum;
}

/** Computes the weight of each of `n` elements: the importance of its column times sqrt(`meanSquare` + its own square). */
export function weigh(
  values: Float32Array,
  from: number,
  importance: Float32Array,
  column: number,
  meanSquare: number,
  weights: Float32Array,
  to: number,
  n: number,
): void {
  for (let i = 0; i < n; i++) {
    const value = values[from + i]!;
    weights[to + i] = importance[column + i]! * Math.fround(Math.sqrt(Math.fround(meanSquare + Math.fround(value * value))));
  }
}
