/** The weights of a model under transformers' names, wherever they are stored. */

/** Bytes of one float32 tensor in a file, row-major, little-endian: what an ONNX initializer with external data points to. */
export interface Float32Location {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly shape: readonly number[];
}

export interface ModelWeights {
  readonly names: readonly string[];
  shape(name: string): readonly number[];
  /** The tensor as float32, row-major, in transformers' layout (GGUF's permuted Q and K rows put back). */
  read(name: string): Float32Array;
  /** Where every tensor lies as float32. Stored float32 is used in place; anything else is expanded once into a file under `cacheDir`. */
  float32Files(cacheDir: string): Promise<ReadonlyMap<string, Float32Location>>;
}
