/** Reads the weights of a model under transformers' names, wherever they are stored. */
import { createHash } from 'node:crypto';
import { readdirSync, rmSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { AtomicFile, fileStamp, isRunning, makeFolder, readExactly, withFile } from '../formats/files.ts';
import { isSoundExpansion, makeRoom, recordExpansion, useExpansion } from './expansions.ts';
import { readGgufBytes, readGgufFloat32, type GgufFile, type GgufTensor } from '../formats/gguf.ts';
import {
  inNibbles,
  isCentred,
  packedFormat,
  quantizeRows,
  packStored,
  splitHalves,
  dequantizeRows,
  zeroLevels,
  type PackedFormat,
  type PackedMatrix,
} from '../formats/quants/pack.ts';
import { readSafetensorsFloat32, type SafetensorsTensor } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import type { Layout } from './layout.ts';

/** Locates one unquantized tensor in a file, row-major, little-endian, as an ONNX initializer with external data does. */
export interface DenseLocation {
  /** Gives the type of the stored numbers; a graph widens what is not float32 where it reads it. */
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly shape: readonly number[];
}

/** Locates a range of bytes in a file. */
export interface FilePart {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** Locates the parts of a quantized matrix; `PackedMatrix` explains them. */
export interface PackedLocation extends PackedFormat {
  readonly shape: readonly [rows: number, columns: number];
  /** Holds the numbers in the order of 4-bit products. */
  readonly nibbles: FilePart;
  readonly nibbleScales: FilePart;
  /** Holds the zero points of the product, or null where its defaults are right. */
  readonly nibbleZeros: FilePart | null;
  readonly nibbleMinima: FilePart | null;
  /** Holds the same numbers in the order in which they are dequantized fastest. */
  readonly halves: FilePart;
  readonly scales: FilePart;
  readonly zeroLevels: FilePart;
  readonly minimumScales: FilePart | null;
  readonly minimumLevels: FilePart | null;
}

type PackedPart = Exclude<keyof PackedLocation, keyof PackedFormat | 'shape'>;

export type WeightLocation = DenseLocation | PackedLocation;

/** Says how matrices of a base are kept in memory: as float32, as a quantized file stores them, or in 8 or 4 bits. */
export type BaseQuantization = 'none' | 'stored' | '8bit' | '4bit';

export interface ModelWeights {
  readonly names: readonly string[];
  shape(name: string): readonly number[];
  /** Reads a tensor as float32, row-major, in transformers' layout (whatever order the file has). */
  read(name: string): Float32Array;
  /** Returns where `files` would put every tensor, without writing anything. */
  locations(cacheDir: string): ReadonlyMap<string, WeightLocation>;
  /**
   * Returns the place from which a graph reads each tensor. Stored float32 is used in place; anything else is written once into
   * a file under `cacheDir`.
   */
  files(cacheDir: string): Promise<ReadonlyMap<string, WeightLocation>>;
  /**
   * Returns the same weights with these matrices quantized. A matrix whose size does not allow it stays float32, and one that
   * is packed already stays as it is.
   */
  quantized(quantization: BaseQuantization, matrices: ReadonlySet<string>): ModelWeights;
  /** Returns the same weights with `rows` rows in these tensors: their own rows as far as they go, then zeros. */
  withRows(names: ReadonlySet<string>, rows: number): ModelWeights;
}

/** Describes one tensor in the file that stores it. */
export interface StoredTensor {
  readonly path: string;
  /** Gives the name in its file, for messages. */
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
  /** Says whether its numbers are in a different order, or have different values, than in the model. */
  readonly moved: boolean;
  load(): Float32Array;
  /**
   * Holds the bytes of a quantized tensor, whose rows may lie in another order. It is missing where more than rows was moved.
   */
  readonly quants?: { bytes(): Uint8Array; storedRow(row: number): number };
}

export function fromSafetensors(path: string, tensor: SafetensorsTensor): StoredTensor {
  return { ...tensor, path, moved: false, load: () => readSafetensorsFloat32(path, tensor) };
}

export function fromGguf(path: string, tensor: GgufTensor): StoredTensor {
  const quants = { bytes: () => readGgufBytes(path, tensor), storedRow: (row: number) => row };
  return { ...tensor, path, moved: false, load: () => readGgufFloat32(path, tensor), quants };
}

/** Returns a stored tensor in the layout of the model. */
export function inModelLayout(stored: StoredTensor, layout: Layout | null, shape: readonly number[]): StoredTensor {
  if (layout === null) return stored;
  const { quants, ...rest } = stored;
  const { storedRow } = layout;
  const moved = { ...rest, shape, moved: true, load: () => layout.toModel(stored.load(), shape) };
  if (quants === undefined || storedRow === undefined) return moved;
  return { ...moved, quants: { ...quants, storedRow: (row) => storedRow(row, shape[0]!) } };
}

function withRows({ quants: _, ...stored }: StoredTensor, rows: number): StoredTensor {
  const shape = [rows, ...stored.shape.slice(1)];
  const load = (): Float32Array => {
    const values = new Float32Array(elements(shape));
    values.set(stored.load().subarray(0, values.length));
    return values;
  };
  return { ...stored, shape, moved: true, load };
}

/** Joins tensors one after another, in this order, into one of this shape. */
export function joined(parts: readonly StoredTensor[], name: string, shape: readonly number[]): StoredTensor {
  const load = (): Float32Array => {
    const whole = new Float32Array(elements(shape));
    let offset = 0;
    for (const values of parts.map((part) => part.load())) {
      whole.set(values, offset);
      offset += values.length;
    }
    return whole;
  };
  const { quants: _, ...first } = parts[0]!;
  return { ...first, name, shape, moved: true, load };
}

/** Says whether two stored tensors hold the same numbers. */
export function sameNumbers(one: StoredTensor, other: StoredTensor): boolean {
  if (one.shape.join() !== other.shape.join()) return false;
  if (one.type !== other.type) {
    const values = other.load();
    return one.load().every((value, i) => value === values[i]);
  }
  // Pieces are compared one by one, because different tensors usually differ at once.
  const piece = 1 << 20;
  return withFile(one.path, (a) =>
    withFile(other.path, (b) => {
      for (let done = 0; done < one.length; done += piece) {
        const length = Math.min(piece, one.length - done);
        const left = readExactly(a, one.path, one.offset + done, length);
        const right = readExactly(b, other.path, other.offset + done, length);
        if (Buffer.compare(left, right) !== 0) return false;
      }
      return true;
    }),
  );
}

/** Reads the divisors of the rotary frequencies that a GGUF carries in a tensor, or returns null. */
export function rotaryDivisors(file: GgufFile, name: string): readonly number[] | null {
  const tensor = file.tensors.get(name);
  return tensor && tensor.length <= 1 << 16 ? [...readGgufFloat32(file.path, tensor)] : null;
}

/** Increases whenever the layout or the content of expanded files changes. */
const expansionVersion = 4;
const expansionAlignment = 64;

/** Says how one matrix is packed. */
type Packing = PackedFormat & { readonly from: 'values' | 'stored' };

/**
 * Reads weights on demand from their files. `tensors` is complete and has the right shapes; `packings` are of matrices among
 * them.
 */
export class StoredWeights implements ModelWeights {
  readonly names: readonly string[];
  readonly #tensors: ReadonlyMap<string, StoredTensor>;
  readonly #packings: ReadonlyMap<string, Packing>;

  constructor(tensors: ReadonlyMap<string, StoredTensor>, packings: ReadonlyMap<string, Packing> = new Map()) {
    this.#tensors = tensors;
    this.#packings = packings;
    this.names = [...tensors.keys()];
  }

  #tensor(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`the model has no tensor '${name}'`);
    return tensor;
  }

  shape(name: string): readonly number[] {
    return this.#tensor(name).shape;
  }

  read(name: string): Float32Array {
    const tensor = this.#tensor(name);
    const packing = this.#packings.get(name);
    // A quantized tensor of a file keeps its values when it is packed.
    if (packing?.from !== 'values') return tensor.load();
    const [rows, columns] = asMatrix(tensor.shape);
    return dequantizeRows(pack(tensor, packing), rows, columns, packing.bits, packing.blockSize);
  }

  quantized(quantization: BaseQuantization, matrices: ReadonlySet<string>): ModelWeights {
    const packings = new Map(this.#packings);
    for (const name of matrices) {
      if (packings.has(name)) continue;
      const packing = packingOf(this.#tensor(name), quantization);
      if (packing !== null) packings.set(name, packing);
    }
    return new StoredWeights(this.#tensors, packings);
  }

  withRows(names: ReadonlySet<string>, rows: number): ModelWeights {
    const tensors = [...this.#tensors].map(
      ([name, tensor]) => [name, names.has(name) ? withRows(tensor, rows) : tensor] as const,
    );
    return new StoredWeights(new Map(tensors), new Map([...this.#packings].filter(([name]) => !names.has(name))));
  }

  locations(cacheDir: string): ReadonlyMap<string, WeightLocation> {
    return this.#plan(cacheDir).locations;
  }

  async files(cacheDir: string): Promise<ReadonlyMap<string, WeightLocation>> {
    const { locations, expansion } = this.#plan(cacheDir);
    await expansion.write();
    return locations;
  }

  #plan(cacheDir: string): { readonly locations: ReadonlyMap<string, WeightLocation>; readonly expansion: Expansion } {
    const path = join(cacheDir, 'weights', `${this.#key()}.${this.#packings.size === 0 ? 'f32' : 'packed'}`);
    const locations = new Map<string, WeightLocation>();
    const expansion = new Expansion(path);
    for (const [name, tensor] of this.#tensors) {
      const { offset, length, shape } = tensor;
      const packing = this.#packings.get(name);
      if (packing !== undefined) locations.set(name, planPacked(expansion, tensor, packing));
      else if (tensor.type === 'F32' && !tensor.moved && offset % 4 === 0)
        locations.set(name, { dtype: 'float32', path: tensor.path, offset, length, shape });
      else {
        const [part] = expansion.plan([4 * elements(shape)], () => [bytesOf(tensor.load())]);
        locations.set(name, { dtype: 'float32', ...part!, shape });
      }
    }
    return { locations, expansion };
  }

  /**
   * Returns a key that changes when the files do, from their paths, sizes, times and the places of their tensors, without
   * reading them.
   */
  #key(): string {
    const hash = createHash('sha256').update(`expansion ${expansionVersion}`);
    for (const path of new Set([...this.#tensors.values()].map((tensor) => tensor.path))) {
      hash.update(JSON.stringify([path, fileStamp(path)]));
    }
    for (const [name, { type, shape, offset, moved }] of this.#tensors)
      hash.update(JSON.stringify([name, type, shape, offset, moved]));
    if (this.#packings.size > 0) hash.update(JSON.stringify([...this.#packings]));
    return hash.digest('hex').slice(0, 32);
  }
}

/**
 * Lists the sizes of blocks to try. The first is QLoRA's, used where it divides a row; in 4 bits it takes 0.58 bytes per
 * number.
 */
const blockSizes = [64, 32, 16];

/** Returns the shape of a matrix, or that of all matrices stacked in one tensor, laid one above the other. */
function asMatrix(shape: readonly number[]): readonly [rows: number, columns: number] {
  return [elements(shape.slice(0, -1)), shape.at(-1)!];
}

function packingOf({ type, shape, quants }: StoredTensor, quantization: BaseQuantization): Packing | null {
  if (quantization === 'none') return null;
  if (quantization === 'stored') {
    const format = quants === undefined ? null : packedFormat(type);
    if (format === null || elements(shape) % (2 * format.blockSize) !== 0) return null;
    return { bits: format.bits, blockSize: format.blockSize, minimumGroup: format.minimumGroup, from: 'stored' };
  }
  const blockSize = blockSizes.find((size) => elements(shape) % (2 * size) === 0 && shape.at(-1)! % size === 0);
  const bits = quantization === '4bit' ? 4 : 8;
  return blockSize === undefined ? null : { bits, blockSize, minimumGroup: null, from: 'values' };
}

function pack({ type, shape, load, quants }: StoredTensor, { bits, blockSize, from }: Packing): PackedMatrix {
  const [rows, columns] = asMatrix(shape);
  if (from === 'stored') return packStored(type, load(), quants!.bytes(), rows, columns, quants!.storedRow);
  return {
    ...quantizeRows(load(), rows, columns, bits, blockSize),
    minimumScales: null,
    minimumLevels: null,
    nibbleMinima: null,
  };
}

function planPacked(expansion: Expansion, tensor: StoredTensor, packing: Packing): PackedLocation {
  const { bits, blockSize, minimumGroup } = packing;
  const [rows, columns] = asMatrix(tensor.shape);
  const blocks = rows * (columns / blockSize);
  const bytes = (rows * columns * bits) / 8;
  const hasZeros = packing.from === 'values' || !isCentred(tensor.type);
  const lengths: Partial<Record<PackedPart, number>> = {
    nibbles: bytes,
    // In 4 bits both readings share their scales.
    ...(bits === 8 ? { nibbleScales: 8 * blocks } : {}),
    ...(hasZeros ? { nibbleZeros: rows * Math.ceil((columns / blockSize) * (bits / 8)) } : {}),
    ...{ halves: bytes, scales: 4 * blocks, zeroLevels: blocks },
    ...(minimumGroup === null ? {} : { nibbleMinima: 4 * blocks, minimumScales: (4 * blocks) / minimumGroup }),
    ...(minimumGroup === null || minimumGroup === 1 ? {} : { minimumLevels: blocks }),
  };
  const names = Object.keys(lengths) as PackedPart[];
  const planned = expansion.plan(Object.values(lengths), () => {
    const packed = pack(tensor, packing);
    const four = bits === 4 ? packed : inNibbles(packed, rows, columns / blockSize, blockSize);
    const made: Record<PackedPart, Uint8Array | Float32Array | null> = {
      ...{ nibbles: four.values, nibbleScales: four.scales, nibbleZeros: four.zeroPoints, nibbleMinima: packed.nibbleMinima },
      halves: bits === 4 ? splitHalves(packed) : packed.values,
      scales: packed.scales,
      zeroLevels: bits === 4 ? zeroLevels(packed, rows, columns / blockSize) : packed.zeroPoints,
      ...{ minimumScales: packed.minimumScales, minimumLevels: packed.minimumLevels },
    };
    return names.map((name) => bytesOf(made[name]!));
  });
  const part = (name: PackedPart): FilePart | null => planned[names.indexOf(name)] ?? null;
  const scales = part('scales')!;
  return {
    ...{ bits, blockSize, minimumGroup, shape: [rows, columns] },
    ...{ nibbles: part('nibbles')!, nibbleScales: part('nibbleScales') ?? scales },
    ...{ nibbleZeros: part('nibbleZeros'), nibbleMinima: part('nibbleMinima') },
    ...{ halves: part('halves')!, scales, zeroLevels: part('zeroLevels')! },
    ...{ minimumScales: part('minimumScales'), minimumLevels: part('minimumLevels') },
  };
}

/** Plans a file part by part and then writes it whole. */
class Expansion {
  readonly #path: string;
  readonly #planned: { readonly lengths: readonly number[]; readonly make: () => Uint8Array[] }[] = [];
  #size = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Plans parts, of `lengths` bytes, that `make` computes together when the file is written. */
  plan(lengths: readonly number[], make: () => Uint8Array[]): FilePart[] {
    this.#planned.push({ lengths, make });
    return lengths.map((length) => {
      const offset = this.#size;
      this.#size += Math.ceil(length / expansionAlignment) * expansionAlignment;
      return { path: this.#path, offset, length };
    });
  }

  /**
   * Writes the file. Two processes may do so at once: each writes a file of its own, the later rename wins, and both are equal.
   */
  async write(): Promise<void> {
    const [path, size] = [this.#path, this.#size];
    if (size === 0) return;
    const folder = dirname(path);
    makeFolder(folder);
    useExpansion(path);
    if (isSoundExpansion(path, size)) return;
    removeAbandoned(folder);
    makeRoom(folder, size);
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < size)
      throw new Problem(
        'disk-full',
        `The expanded weights need ${size} bytes in '${folder}', and ${bavail * bsize} are free.`,
        'Free some space or choose another data folder.',
      );
    const file = new AtomicFile(path);
    const hash = createHash('sha256');
    try {
      for (const { lengths, make } of this.#planned) {
        for (const [i, part] of make().entries()) {
          if (part.length !== lengths[i]) throw new Error(`${part.length} bytes of weights where ${lengths[i]} were planned`);
          file.write(part);
          hash.update(part);
          const end = file.position;
          file.pad(expansionAlignment);
          hash.update(new Uint8Array(file.position - end));
        }
        await setImmediate();
      }
      file.finish();
      recordExpansion(path, hash.digest('hex'));
    } finally {
      file.abort();
    }
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Removes the half-written files of processes that have ended. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /\.partial-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
