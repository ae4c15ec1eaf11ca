/**
 * Plans where the weights of an exported ONNX model are placed while its graph is built; they are written to one data file
 * afterwards.
 */
import { float32ToHalf } from '../../formats/float.ts';
import type { Graph } from '../../graph/graph.ts';
import type { ExternalData, Value } from '../../graph/node.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { modelTensors, storedName, type DecoderSpec } from '../../models/spec.ts';
import { assert } from '../../problem.ts';
import { add } from '../../graph/ops/elementwise.ts';
import type { ModelWeights } from '../../models/weights.ts';
import { quantizeRows, type PackedRows } from '../../formats/quants/pack.ts';

/**
 * Names the precision of the weights: float32; half precision computed in float32; 8 or 4 bits in blocks of 32 along each row.
 */
export type OnnxPrecision = 'f32' | 'f16' | 'q8' | 'q4';

/** Describes a range of the data file, in bytes, and the function that reads its content. */
export interface PlannedBytes {
  readonly offset: number;
  readonly length: number;
  read(): Uint8Array;
}

const alignment = 64;
/** Gives the number of elements that share a scale. */
const blockSize = 32;

export class WeightStore {
  readonly planned: PlannedBytes[] = [];
  readonly #fileName: string;
  readonly #spec: DecoderSpec;
  readonly #weights: Pick<ModelWeights, 'read'>;
  readonly #precision: OnnxPrecision;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  #size = 0;

  constructor(fileName: string, spec: DecoderSpec, weights: Pick<ModelWeights, 'read'>, precision: OnnxPrecision) {
    this.#fileName = fileName;
    this.#spec = spec;
    this.#weights = weights;
    this.#precision = precision;
    this.#shapes = new Map(modelTensors(spec).map(({ name, shape }) => [name, shape]));
  }

  /** Returns the size of the data file in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Adds a tensor to the graph as float32. Matrices are stored in half precision unless everything is float32. */
  dense(g: Graph, asked: string): Value {
    const name = storedName(this.#spec, asked);
    const shape = this.#shape(name);
    if (this.#precision === 'f32' || shape.length === 1) {
      const known = g.weights.get(name);
      if (known !== undefined) return known.value;
      return g.weight(
        name,
        shape,
        this.#plan(4 * count(shape), () => bytesOf(this.#weights.read(name))),
      );
    }
    const stored =
      g.weights.get(name)?.value ??
      g.weight(
        name,
        shape,
        this.#plan(2 * count(shape), () => bytesOf(float32ToHalf(this.#weights.read(name)))),
        'float16',
      );
    return g.node('Cast', [stored], { to: { int: 1 } });
  }

  /** Computes x Wᵀ + b for the linear layer at `path`, from packed rows where the precision is 8 or 4 bits. */
  product(g: Graph, path: string, x: Value, bias: Value | null): Value {
    if (this.#precision === 'f32' || this.#precision === 'f16')
      return gemm(g, [x, this.dense(g, `${path}.weight`), ...(bias === null ? [] : [bias])], { transB: true });
    const bits = this.#precision === 'q4' ? 4 : 8;
    const name = storedName(this.#spec, `${path}.weight`);
    const [rows, columns] = this.#shape(name) as [number, number];
    const blocks = Math.ceil(columns / blockSize);
    let packed: PackedRows | null = null;
    // The three parts are read one after another. Packing is done once, and its result is released with the last.
    const part = (what: keyof PackedRows, last: boolean) => (): Uint8Array => {
      packed ??= quantizeRows(this.#weights.read(name), rows, columns, bits, blockSize);
      const bytes = bytesOf(packed[what]);
      if (last) packed = null;
      return bytes;
    };
    const blockBytes = (blockSize * bits) / 8;
    const zeroBytes = Math.ceil((blocks * bits) / 8);
    const own = `${path}.weight`;
    const inputs = [
      x,
      g.weight(
        `${own}.packed`,
        [rows, blocks, blockBytes],
        this.#plan(rows * blocks * blockBytes, part('values', false)),
        'uint8',
      ),
      g.weight(`${own}.scales`, [rows, blocks], this.#plan(4 * rows * blocks, part('scales', false))),
      g.weight(`${own}.zero_points`, [rows, zeroBytes], this.#plan(rows * zeroBytes, part('zeroPoints', true)), 'uint8'),
    ];
    const product = g.node('MatMulNBits', inputs, {
      K: { int: columns },
      N: { int: rows },
      bits: { int: bits },
      block_size: { int: blockSize },
    });
    return bias === null ? product : add(g, [product, bias]);
  }

  /** Adds a float32 table that belongs to no weight of the model. */
  table(g: Graph, name: string, shape: readonly number[], values: () => Float32Array): Value {
    return g.weight(
      name,
      shape,
      this.#plan(4 * count(shape), () => bytesOf(values())),
    );
  }

  #shape(name: string): readonly number[] {
    const shape = this.#shapes.get(name);
    assert(shape !== undefined, `the model has no tensor ${name}`);
    return shape;
  }

  #plan(length: number, read: () => Uint8Array): ExternalData {
    const offset = Math.ceil(this.#size / alignment) * alignment;
    this.planned.push({ offset, length, read });
    this.#size = offset + length;
    return { path: this.#fileName, offset, length };
  }
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function bytesOf(values: Float32Array | Uint16Array | Uint8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
