/**
 * Reads and writes GGUF versions 2 and 3, little-endian: typed metadata, tensor descriptions, aligned tensor data. Sizes are
 * 64-bit in the file, so they are checked as BigInt against the file's length before any memory is taken for them. Layout:
 * ggml's docs/gguf.md. Shapes are row-major here; the file has the fastest dimension first.
 */
import { Problem } from '../problem.ts';
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32, requireHalf } from './float.ts';
import { type FileHash, PlannedFile, readExactly, refuseStandIn, withFile } from './files.ts';
import { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 } from './quants/blocks32.ts';
import { IQ4_NL, IQ4_XS } from './quants/nonlinear.ts';
import { Q2_K, Q3_K, Q4_K, Q5_K, Q6_K } from './quants/superblocks.ts';

type NumberType = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64';
type BigType = 'uint64' | 'int64';
/**
 * Describes an array of numbers. One that was read takes no more bytes than in the file, because a vocabulary has a number for
 * each token.
 */
type GgufNumbers =
  | readonly number[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;
export type GgufScalarType = NumberType | BigType | 'bool' | 'string';
export type GgufValue =
  | { readonly type: NumberType; readonly value: number }
  | { readonly type: BigType; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly of: NumberType; readonly value: GgufNumbers }
  | { readonly type: 'array'; readonly of: BigType; readonly value: readonly bigint[] | BigUint64Array | BigInt64Array }
  | { readonly type: 'array'; readonly of: 'bool'; readonly value: readonly boolean[] }
  | { readonly type: 'array'; readonly of: 'string'; readonly value: readonly string[] };

/** Lists the value types by their number in the file. */
const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;
const scalarBytes: Record<GgufScalarType, number> = {
  uint8: 1,
  int8: 1,
  bool: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  uint64: 8,
  int64: 8,
  float64: 8,
  string: 8,
};

/** Holds the typed arrays that hold numbers as they lie in the file, which is little-endian like every machine this runs on. */
const numberArrays = {
  ...{ uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array },
  ...{ float32: Float32Array, float64: Float64Array, uint64: BigUint64Array, int64: BigInt64Array },
};

const quantizedTypes = { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };
const blockTypes = { ...quantizedTypes, IQ4_NL, IQ4_XS };
const plainTypes = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  BF16: { id: 30, elements: 1, bytes: 2 },
};
/** Holds the tensor types that can be read, each with its number in the file and the elements and bytes of a block. */
const storage = { ...plainTypes, ...blockTypes };
export type GgufTensorType = keyof typeof storage;
/** Names the types that can be written. */
export type GgufWriteType = keyof typeof plainTypes | keyof typeof quantizedTypes;

/** Returns how many elements are stored together. The rows of a tensor must be whole blocks. */
export function blockElements(type: GgufTensorType): number {
  return storage[type].elements;
}

/**
 * Holds the names of all types of ggml.h, so that the others are refused by name. Those it removed (4, 5, 31 to 33, 36 to 38)
 * had no stable layout.
 */
const typeNames: Readonly<Record<number, string>> = {
  ...Object.fromEntries(Object.entries(storage).map(([name, { id }]) => [id, name])),
  ...{ 9: 'Q8_1', 15: 'Q8_K', 16: 'IQ2_XXS', 17: 'IQ2_XS', 18: 'IQ3_XXS', 19: 'IQ1_S', 21: 'IQ3_S', 22: 'IQ2_S' },
  ...{ 24: 'I8', 25: 'I16', 26: 'I32', 27: 'I64', 28: 'F64', 29: 'IQ1_M', 34: 'TQ1_0', 35: 'TQ2_0', 39: 'MXFP4', 40: 'NVFP4' },
  ...{ 41: 'Q1_0', 42: 'Q2_0' },
};

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufTensorType;
  readonly shape: readonly number[];
  /** Gives the bytes from the start of the file. */
  readonly offset: number;
  readonly length: number;
}
export interface GgufFile {
  readonly path: string;
  readonly size: number;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const magic = 0x46554747;
/**
 * The limits are several times what any real file has and far below what would hurt: the largest vocabularies have 262,144
 * tokens and half a million merges and take 12 MB with their scores. `elements` is the total over all arrays.
 */
const limits = {
  ...{ entries: 4096, tensors: 1 << 17, keyBytes: 65_535, dimensions: 4 },
  ...{ elements: 1 << 22, metadataBytes: 128 << 20, namesBytes: 32 << 20 },
};
const defaultAlignment = 32;
/** Counts the elements that are quantized at once. */
const partElements = 1 << 22;

/** Reads metadata and tensor descriptions without reading any tensor. */
export function readGguf(path: string): GgufFile {
  return withFile(path, (descriptor, size) => {
    refuseStandIn(path, descriptor, size);
    const cursor = new Cursor(descriptor, path, size);
    if (size < 24 || cursor.uint32() !== magic) throw cursor.damaged("does not begin with 'GGUF'");
    const version = cursor.uint32();
    if (version !== 2 && version !== 3)
      throw new Problem(
        'format-unsupported',
        `'${path}' is GGUF version ${version}; versions 2 and 3, little-endian, can be read.`,
        'Convert the model again with a current llama.cpp.',
      );
    const tensorCount = cursor.count('tensors', limits.tensors, 24);
    const entryCount = cursor.count('metadata entries', limits.entries, 13);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < entryCount; i++) {
      const key = cursor.string('a metadata key', limits.keyBytes);
      if (metadata.has(key)) throw cursor.damaged(`has the metadata key '${key}' twice`);
      metadata.set(key, cursor.value(key));
      if (cursor.position > limits.metadataBytes)
        throw cursor.damaged(`has more than ${limits.metadataBytes} bytes of metadata`);
    }
    const metadataEnd = cursor.position;
    const declared: Omit<GgufTensor, 'length'>[] = [];
    const names = new Set<string>();
    for (let i = 0; i < tensorCount; i++) {
      const tensor = cursor.tensor();
      if (names.has(tensor.name)) throw cursor.damaged(`has the tensor '${tensor.name}' twice`);
      if (cursor.position - metadataEnd > limits.namesBytes)
        throw cursor.damaged(`has more than ${limits.namesBytes} bytes of names of tensors`);
      names.add(tensor.name);
      declared.push(tensor);
    }
    const alignment = readAlignment(cursor, metadata);
    const dataStart = Math.ceil(cursor.position / alignment) * alignment;
    return { path, size, version, metadata, tensors: placeTensors(cursor, declared, dataStart, alignment) };
  });
}

function readAlignment(cursor: Cursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const entry = metadata.get('general.alignment');
  if (entry === undefined) return defaultAlignment;
  if (entry.type !== 'uint32' || entry.value < 1 || (entry.value & (entry.value - 1)) !== 0 || entry.value > 1 << 20)
    throw cursor.damaged("has a 'general.alignment' that is no power of two");
  return entry.value;
}

/** Makes offsets absolute and checks that the tensors are aligned, do not overlap and lie inside the file. */
function placeTensors(
  cursor: Cursor,
  declared: readonly Omit<GgufTensor, 'length'>[],
  dataStart: number,
  alignment: number,
): Map<string, GgufTensor> {
  const tensors = declared.map((tensor): GgufTensor => {
    const length = storedBytes(tensor.type, tensor.shape);
    if (tensor.offset % alignment !== 0)
      throw cursor.damaged(`places tensor '${tensor.name}' off its alignment of ${alignment}`);
    if (dataStart + tensor.offset + length > cursor.size)
      throw cursor.damaged(
        `ends before the data of tensor '${tensor.name}', which should reach byte ${dataStart + tensor.offset + length}`,
      );
    return { ...tensor, offset: dataStart + tensor.offset, length };
  });
  let end = dataStart;
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset < end) throw cursor.damaged(`has tensor '${tensor.name}' overlapping the one before it`);
    end = tensor.offset + tensor.length;
  }
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

function storedBytes(type: GgufTensorType, shape: readonly number[]): number {
  const { elements, bytes } = storage[type];
  return (shape.reduce((product, extent) => product * extent, 1) / elements) * bytes;
}

/** Reads forward through the header in windows, so that a damaged length costs no memory. */
class Cursor {
  readonly path: string;
  readonly size: number;
  readonly #descriptor: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #at = 0;
  /** Counts the elements of all arrays so far. */
  #elements = 0;

  constructor(descriptor: number, path: string, size: number) {
    this.#descriptor = descriptor;
    this.path = path;
    this.size = size;
  }

  get position(): number {
    return this.#windowStart + this.#at;
  }

  damaged(what: string): Problem {
    return new Problem(
      'file-damaged',
      `'${this.path}' ${what}.`,
      'The file is damaged or is no GGUF file: download or copy it again.',
    );
  }

  /** Makes the next `length` bytes available and returns where in the window they begin. */
  #take(length: number): number {
    if (this.#at + length > this.#window.length) {
      const start = this.position;
      if (start + length > this.size) throw this.damaged(`ends at byte ${this.size}, in the middle of its header`);
      const wanted = Math.min(Math.max(length, 1 << 20), this.size - start);
      this.#window = Buffer.from(readExactly(this.#descriptor, this.path, start, wanted).buffer);
      this.#windowStart = start;
      this.#at = 0;
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }

  uint32(): number {
    const at = this.#take(4);
    return this.#window.readUInt32LE(at);
  }

  uint64(): bigint {
    const at = this.#take(8);
    return this.#window.readBigUInt64LE(at);
  }

  /** Reads how many things follow, each of at least `least` bytes, and refuses more than `limit` or than the file can hold. */
  count(what: string, limit: number, least: number): number {
    const count = this.uint64();
    if (count > BigInt(limit) || count * BigInt(least) > BigInt(this.size - this.position))
      throw this.damaged(`declares ${count} ${what}, more than it can hold`);
    return Number(count);
  }

  string(what: string, limit: number): string {
    const length = this.uint64();
    if (length > BigInt(Math.min(limit, this.size - this.position)))
      throw this.damaged(`declares ${what} of ${length} bytes, more than it can hold`);
    const at = this.#take(Number(length));
    return this.#window.toString('utf8', at, at + Number(length));
  }

  value(key: string): GgufValue {
    const type = this.#valueType(key);
    if (type !== 'array') return { type, value: this.#scalar(type, key) } as GgufValue;
    const of = this.#valueType(key);
    if (of === 'array')
      throw new Problem(
        'format-unsupported',
        `'${this.path}' has nested arrays in '${key}', which cannot be read.`,
        'Convert the model again with a current llama.cpp.',
      );
    const count = this.count(`elements in '${key}'`, limits.elements - this.#elements, scalarBytes[of]);
    this.#elements += count;
    if (of !== 'string' && of !== 'bool') {
      const at = this.#take(count * scalarBytes[of]);
      const bytes = new Uint8Array(this.#window.subarray(at, at + count * scalarBytes[of]));
      return { type, of, value: new numberArrays[of](bytes.buffer) } as GgufValue;
    }
    const value: unknown[] = [];
    for (let i = 0; i < count; i++) value.push(this.#scalar(of, key));
    return { type, of, value } as GgufValue;
  }

  #valueType(key: string): (typeof valueTypes)[number] {
    const id = this.uint32();
    const type = valueTypes[id];
    if (type === undefined) throw this.damaged(`has metadata '${key}' of unknown type ${id}`);
    return type;
  }

  #scalar(type: GgufScalarType, key: string): number | bigint | boolean | string {
    if (type === 'string') return this.string(`'${key}'`, limits.metadataBytes);
    const at = this.#take(scalarBytes[type]);
    const window = this.#window;
    switch (type) {
      case 'uint8':
        return window.readUInt8(at);
      case 'int8':
        return window.readInt8(at);
      case 'uint16':
        return window.readUInt16LE(at);
      case 'int16':
        return window.readInt16LE(at);
      case 'uint32':
        return window.readUInt32LE(at);
      case 'int32':
        return window.readInt32LE(at);
      case 'float32':
        return window.readFloatLE(at);
      case 'float64':
        return window.readDoubleLE(at);
      case 'uint64':
        return window.readBigUInt64LE(at);
      case 'int64':
        return window.readBigInt64LE(at);
      case 'bool': {
        const byte = window.readUInt8(at);
        if (byte > 1) throw this.damaged(`has a truth value of ${byte} in '${key}'`);
        return byte === 1;
      }
    }
  }

  tensor(): Omit<GgufTensor, 'length'> {
    const name = this.string('a tensor name', limits.keyBytes);
    const dimensions = this.uint32();
    if (dimensions < 1 || dimensions > limits.dimensions)
      throw this.damaged(`gives tensor '${name}' ${dimensions} dimensions, but 1 to ${limits.dimensions} are possible`);
    const extents = Array.from({ length: dimensions }, () => this.uint64());
    const typeId = this.uint32();
    const offset = this.uint64();
    const typeName = typeNames[typeId];
    if (typeName === undefined) throw this.damaged(`stores tensor '${name}' in the unknown type ${typeId}`);
    if (!Object.hasOwn(storage, typeName))
      throw new Problem(
        'format-unsupported',
        `'${this.path}' stores tensor '${name}' as ${typeName}, which cannot be read yet.`,
        `Use a GGUF stored as ${Object.keys(storage).join(', ')}.`,
      );
    const type = typeName as GgufTensorType;
    const { elements, bytes } = storage[type];
    if (extents[0]! % BigInt(elements) !== 0n)
      throw this.damaged(`gives tensor '${name}' rows of ${extents[0]}, but ${type} stores ${elements} together`);
    const length = (extents.reduce((product, extent) => product * extent, 1n) / BigInt(elements)) * BigInt(bytes);
    if (extents.some((extent) => extent === 0n) || length + offset > BigInt(this.size))
      throw this.damaged(
        `gives tensor '${name}' the shape [${extents.reverse().join(', ')}] at ${offset}, more than the file holds`,
      );
    return { name, type, shape: extents.map(Number).reverse(), offset: Number(offset) };
  }
}

/** Reads a tensor as float32, row-major. `hash` takes the bytes that are read. */
export function readGgufFloat32(path: string, tensor: GgufTensor, hash: FileHash | null = null): Float32Array {
  const bytes = readGgufBytes(path, tensor);
  hash?.take(tensor.offset, bytes);
  return dequantize(tensor.type, bytes);
}

/** Reads the bytes of a tensor as they are stored. */
export function readGgufBytes(path: string, { offset, length }: GgufTensor): Uint8Array<ArrayBuffer> {
  return withFile(path, (descriptor) => readExactly(descriptor, path, offset, length));
}

/** Returns the float32 values of stored blocks, exactly as ggml computes them. */
export function dequantize(type: GgufTensorType, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  switch (type) {
    case 'F32':
      return new Float32Array(bytes.buffer);
    case 'F16':
      return halfToFloat32(new Uint16Array(bytes.buffer));
    case 'BF16':
      return bfloat16ToFloat32(new Uint16Array(bytes.buffer));
    default: {
      const block = blockTypes[type];
      const values = new Float32Array((bytes.length / block.bytes) * block.elements);
      block.dequantize(bytes, values);
      return values;
    }
  }
}

/**
 * Returns the stored bytes of rows of `width` float32 values, as ggml makes them. `importance`, a weight for each column,
 * steers the search for the scales of quantized types.
 */
export function quantize(
  type: GgufWriteType,
  rows: Float32Array,
  width: number,
  importance: Float32Array | null = null,
): Uint8Array {
  switch (type) {
    case 'F32':
      return new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    case 'F16':
      return new Uint8Array(float32ToHalf(rows).buffer);
    case 'BF16':
      return new Uint8Array(float32ToBfloat16(rows).buffer);
    default: {
      const block = quantizedTypes[type];
      const blocks = new Uint8Array((rows.length / block.elements) * block.bytes);
      block.quantize(rows, width, importance, blocks);
      return blocks;
    }
  }
}

export interface GgufPlan {
  readonly name: string;
  readonly type: GgufWriteType;
  readonly shape: readonly number[];
}

/** Returns the size in bytes that the file will have. */
export function ggufSize(metadata: ReadonlyMap<string, GgufValue>, plan: readonly GgufPlan[]): number {
  return plan.reduce((sum, tensor) => sum + align(planBytes(tensor)), makeHeader(metadata, plan).length);
}

function planBytes({ type, shape }: GgufPlan): number {
  return storedBytes(type, shape);
}

function align(bytes: number): number {
  return Math.ceil(bytes / defaultAlignment) * defaultAlignment;
}

/** Makes the header of a version 3 file with the default alignment, padded to where the data begins. */
function makeHeader(metadata: ReadonlyMap<string, GgufValue>, plan: readonly GgufPlan[]): Buffer {
  const parts: Buffer[] = [];
  const number = (type: Exclude<GgufScalarType, 'string'>, value: number | bigint): void => {
    const bytes = Buffer.alloc(scalarBytes[type]);
    if (type === 'uint64') bytes.writeBigUInt64LE(BigInt(value));
    else if (type === 'int64') bytes.writeBigInt64LE(BigInt(value));
    else if (type === 'float32') bytes.writeFloatLE(Number(value));
    else if (type === 'float64') bytes.writeDoubleLE(Number(value));
    else if (type.startsWith('int')) bytes.writeIntLE(Number(value), 0, bytes.length);
    else bytes.writeUIntLE(Number(value), 0, bytes.length);
    parts.push(bytes);
  };
  const string = (value: string): void => {
    const bytes = Buffer.from(value, 'utf8');
    number('uint64', bytes.length);
    parts.push(bytes);
  };
  const scalar = (type: GgufScalarType, value: number | bigint | boolean | string): void => {
    if (type === 'string') string(String(value));
    else number(type, typeof value === 'bigint' ? value : Number(value));
  };
  number('uint32', magic);
  number('uint32', 3);
  number('uint64', plan.length);
  const entries = [...metadata].filter(([key]) => key !== 'general.alignment');
  number('uint64', entries.length);
  for (const [key, entry] of entries) {
    string(key);
    number('uint32', valueTypes.indexOf(entry.type));
    if (entry.type === 'array') {
      number('uint32', valueTypes.indexOf(entry.of));
      number('uint64', entry.value.length);
      for (const value of entry.value) scalar(entry.of, value);
    } else scalar(entry.type, entry.value);
  }
  let offset = 0;
  for (const { name, type, shape } of plan) {
    string(name);
    number('uint32', shape.length);
    for (const extent of [...shape].reverse()) number('uint64', extent);
    number('uint32', storage[type].id);
    number('uint64', offset);
    offset += align(storedBytes(type, shape));
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([...parts, Buffer.alloc(align(length) - length)]);
}

export class GgufWriter extends PlannedFile<GgufPlan> {
  constructor(path: string, metadata: ReadonlyMap<string, GgufValue>, plan: readonly GgufPlan[]) {
    super(path, makeHeader(metadata, plan), plan, planBytes, defaultAlignment);
  }

  /** Writes the next tensor of the plan; `importance` is as for `quantize`. */
  write(values: Float32Array, importance: Float32Array | null = null): void {
    this.append((tensor) => {
      if (tensor.type === 'F16') requireHalf(tensor.name, values);
      return quantizedParts(tensor, values, importance);
    });
  }
}

/** Quantizes whole rows part by part, so that a large tensor does not need its stored bytes in memory as well. */
function* quantizedParts(
  { type, shape }: GgufPlan,
  values: Float32Array,
  importance: Float32Array | null,
): Generator<Uint8Array> {
  const width = shape.at(-1)!;
  const part = Math.ceil(partElements / width) * width;
  for (let from = 0; from < values.length; from += part)
    yield quantize(type, values.subarray(from, from + part), width, importance);
}
