/**
 * Converts half precision and bfloat16 to float32 and back, in bulk. Rounding is to nearest, ties to even, as IEEE 754 and
 * torch do.
 */
import { Problem } from '../problem.ts';

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

let halfTable: Float32Array | undefined;

/** Returns all 65,536 half-precision values as float32: the value of the bits `b` is at index `b`. */
export function halfValues(): Float32Array {
  if (halfTable) return halfTable;
  const table = new Float32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 31;
    const mantissa = half & 0x3ff;
    if (exponent === 0) table[half] = sign * mantissa * 2 ** -24;
    else if (exponent === 31) table[half] = mantissa === 0 ? sign * Infinity : NaN;
    else table[half] = sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  }
  halfTable = table;
  return table;
}

/** Returns the half-precision bits of a float32 value. */
export function toHalf(value: number): number {
  scratch[0] = value;
  return halfFromBits(scratchBits[0]!);
}

function halfFromBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  // Subnormal half: float32 numbers in [0.5, 1) lie 2^-24 apart, as subnormal halves do, so adding 0.5 rounds to the right place.
  scratchBits[0] = magnitude;
  scratch[0] = scratch[0]! + 0.5;
  return sign | (scratchBits[0]! - 0x3f000000);
}

/** Refuses a tensor with a value that is not finite in half precision. */
export function requireHalf(name: string, values: Float32Array): void {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  if (toHalf(largest) < 0x7c00) return;
  throw new Problem(
    'export-unsupported',
    `'${name}' has values up to ${largest.toPrecision(3)}, and half precision ends at 65504.`,
    'Choose bfloat16 or float32.',
  );
}

/** Returns whether every value is finite: neither infinite nor NaN. An exponent of all ones marks the others. */
export function allFinite(values: Float32Array): boolean {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7f800000) === 0x7f800000) return false;
  return true;
}

// Bits are taken as signed integers below: above 2^31 unsigned ones would be handled as float64.

export function halfToFloat32(source: Uint16Array): Float32Array {
  const table = halfValues();
  const target = new Float32Array(source.length);
  for (let i = 0; i < source.length; i++) target[i] = table[source[i]!]!;
  return target;
}

export function float32ToHalf(source: Float32Array): Uint16Array {
  const bits = new Int32Array(source.buffer, source.byteOffset, source.length);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < bits.length; i++) target[i] = halfFromBits(bits[i]!);
  return target;
}

export function bfloat16ToFloat32(source: Uint16Array): Float32Array {
  const bits = new Int32Array(source.length);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return new Float32Array(bits.buffer);
}

export function float32ToBfloat16(source: Float32Array): Uint16Array {
  const bits = new Int32Array(source.buffer, source.byteOffset, source.length);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i]!;
    const notANumber = (value & 0x7fffffff) > 0x7f800000;
    target[i] = notANumber ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >> 16;
  }
  return target;
}
