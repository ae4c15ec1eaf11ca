/** What every family of block types gives: how many elements are stored together, in how many bytes, and how they are read. */
export interface BlockType {
  /** Number in a GGUF, ggml.h's enum ggml_type. */
  readonly id: number;
  readonly elements: number;
  readonly bytes: number;
  /** Writes the float32 values of whole blocks to `target`, bit for bit those of ggml's dequantize_row functions. */
  dequantize(blocks: Uint8Array, target: Float32Array): void;
}

/** The 16 bits at `at`, little-endian. */
export function bits16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}
