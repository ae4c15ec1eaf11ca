/** Defines the types of numbers in a graph, and everything that depends on them. */
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from '../formats/float.ts';

export type FloatType = 'float32' | 'float16' | 'bfloat16';
export type DataType = FloatType | 'uint8' | 'int32' | 'int64' | 'bool';

interface DataTypeRow {
  /** Gives the number of the type in TensorProto.DataType. */
  readonly onnx: number;
  /** Gives the bytes of one number. */
  readonly size: number;
  /** Encodes numbers as an initializer holds them, little-endian. */
  bytes(numbers: readonly number[]): Uint8Array;
}

const bytesOf = ({ buffer }: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(buffer);

export const dataTypes: Readonly<Record<DataType, DataTypeRow>> = {
  float32: { onnx: 1, size: 4, bytes: (numbers) => bytesOf(Float32Array.from(numbers)) },
  float16: { onnx: 10, size: 2, bytes: (numbers) => bytesOf(float32ToHalf(Float32Array.from(numbers))) },
  bfloat16: { onnx: 16, size: 2, bytes: (numbers) => bytesOf(float32ToBfloat16(Float32Array.from(numbers))) },
  uint8: { onnx: 2, size: 1, bytes: (numbers) => Uint8Array.from(numbers) },
  int32: { onnx: 6, size: 4, bytes: (numbers) => bytesOf(Int32Array.from(numbers)) },
  int64: { onnx: 7, size: 8, bytes: (numbers) => bytesOf(BigInt64Array.from(numbers, BigInt)) },
  bool: { onnx: 9, size: 1, bytes: (numbers) => Uint8Array.from(numbers) },
};

const byCode = new Map(Object.entries(dataTypes).map(([dtype, { onnx }]) => [onnx, dtype as DataType]));

/**
 * Returns the type with a number of TensorProto.DataType, as in the attribute `to` of a Cast; undefined if it is not known
 * here.
 */
export function typeOfCode(code: number): DataType | undefined {
  return byCode.get(code);
}

export function isFloat(dtype: DataType): dtype is FloatType {
  return dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16';
}

/** Rounds numbers to half precision or bfloat16; for all other types they stay as they are, in float64. */
export function rounded(dtype: DataType, numbers: Float64Array): Float64Array {
  if (dtype === 'float16') return Float64Array.from(halfToFloat32(float32ToHalf(Float32Array.from(numbers))));
  if (dtype === 'bfloat16') return Float64Array.from(bfloat16ToFloat32(float32ToBfloat16(Float32Array.from(numbers))));
  return numbers;
}

/**
 * Holds the mask value that is added to the score of a hidden token. It is far below every score, so that the softmax is
 * exactly 0, and stays finite when a score is added to it. Half precision ends at -65504.
 */
export const HIDDEN_SCORE: Readonly<Record<FloatType, number>> = { float32: -1e30, bfloat16: -1e30, float16: -3e4 };
