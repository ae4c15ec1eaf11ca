/**
 * Reads and writes safetensors: 8 bytes of header length, a JSON header, then the tensors without gaps. The rules are those of
 * the Rust crate's `validate`.
 */
import type { Hash } from 'node:crypto';
import { Problem } from '../problem.ts';
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32, requireHalf } from './float.ts';
import { type FileHash, PlannedFile, readExactly, refuseStandIn, withFile } from './files.ts';

const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;
export type SafetensorsType = keyof typeof elementBytes;
/** Names the types that can be read and written as float32. */
export type FloatType = 'F32' | 'F16' | 'BF16';

export interface SafetensorsTensor {
  readonly name: string;
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  /** Gives the bytes from the start of the file. */
  readonly offset: number;
  readonly length: number;
}
export interface SafetensorsFile {
  readonly path: string;
  readonly size: number;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The limits are several times what any real file has: an adapter on every expert of the largest models has 100,000 tensors,
 * described in 16 MB. The Rust crate allows 100 MB, but a header of that size with short names takes 2 GB of memory to read.
 */
const maxHeaderBytes = 32 << 20;
const maxTensors = 1 << 18;
const maxDimensions = 16;
const maxMetadata = 4096;
/** A tensor's lists are nested three deep in the header; twice that is allowed. */
const maxDepth = 6;

function damaged(path: string, what: string): Problem {
  return new Problem(
    'file-damaged',
    `'${path}' ${what}.`,
    'The file is damaged or is no safetensors file: download or copy it again.',
  );
}

/** Reads and checks the header without reading any tensor. */
export function readSafetensors(path: string): SafetensorsFile {
  return withFile(path, (descriptor, size) => {
    refuseStandIn(path, descriptor, size);
    if (size < 8) throw damaged(path, `has ${size} bytes, too few for a safetensors header`);
    const start = readExactly(descriptor, path, 0, 8);
    const declared = new DataView(start.buffer).getBigUint64(0, true);
    if (declared > BigInt(maxHeaderBytes))
      throw damaged(path, `declares a header of ${declared} bytes, more than ${maxHeaderBytes}`);
    const headerBytes = Number(declared);
    if (8 + headerBytes > size) throw damaged(path, `declares a header of ${headerBytes} bytes but has ${size} bytes in all`);
    const text = decodeHeader(path, readExactly(descriptor, path, 8, headerBytes));
    return parseHeader(path, size, 8 + headerBytes, text);
  });
}

function decodeHeader(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw damaged(path, 'has a header that is not UTF-8');
  }
}

function parseHeader(path: string, size: number, dataStart: number, text: string): SafetensorsFile {
  const odd = oddity(text);
  if (odd !== null) throw damaged(path, odd);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw damaged(path, 'has a header that is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw damaged(path, 'has a header that is not a JSON object');

  const tensors: SafetensorsTensor[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(path, value);
    else tensors.push(parseTensor(path, size, dataStart, name, value));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.length - b.length);
  let end = dataStart;
  for (const tensor of tensors) {
    if (tensor.offset < end) throw damaged(path, `has tensor '${tensor.name}' overlapping the one before it`);
    if (tensor.offset > end) throw damaged(path, `has ${tensor.offset - end} unused bytes before tensor '${tensor.name}'`);
    end += tensor.length;
  }
  if (end !== size) throw damaged(path, `has ${size - end} bytes after its last tensor`);
  return { path, size, metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

function checkMetadata(path: string, value: unknown): Record<string, string> {
  const sound =
    typeof value === 'object' && value !== null && Object.values(value).every((entry: unknown) => typeof entry === 'string');
  if (!sound) throw damaged(path, "has '__metadata__' that is no map of strings");
  return value as Record<string, string>;
}

function parseTensor(path: string, size: number, dataStart: number, name: string, value: unknown): SafetensorsTensor {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2)
    throw damaged(path, `describes tensor '${name}' without a dtype, a shape and two offsets`);
  if (shape.length > maxDimensions)
    throw damaged(path, `gives tensor '${name}' ${shape.length} dimensions, more than ${maxDimensions}`);
  if (!Object.hasOwn(elementBytes, dtype))
    throw new Problem(
      'format-unsupported',
      `'${path}' stores tensor '${name}' as ${dtype}, which is not known here.`,
      'Use a model stored as F32, F16 or BF16.',
    );
  const type = dtype as SafetensorsType;
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce((product, extent) => product * BigInt(extent), BigInt(elementBytes[type]));
  if (begin > end || dataStart + end > size)
    throw damaged(path, `places tensor '${name}' at ${begin} to ${end}, outside its ${size - dataStart} bytes of data`);
  if (BigInt(end - begin) !== expected)
    throw damaged(path, `gives tensor '${name}' ${end - begin} bytes, but ${type} [${shape.join(', ')}] takes ${expected}`);
  return { name, type, shape, offset: dataStart + begin, length: end - begin };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && (entry as number) >= 0);
}

/**
 * Returns what is wrong with a header before it is worth parsing, or null. It looks for a key that occurs twice in one object,
 * of which JSON.parse would silently keep the last, and for more than any model has. It goes character by character, because a
 * regular expression takes stack for each character of a long text.
 */
function oddity(json: string): string | null {
  const open: (Set<string> | null)[] = [];
  const colon = /[ \t\n\r]*:/y;
  let objects = 0;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '{' || character === '[') {
      if (open.push(character === '{' ? new Set() : null) > maxDepth) return 'has a header that is nested too deep';
      if (character === '{' && ++objects > maxTensors) return `names more than ${maxTensors} tensors`;
    } else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const start = at++;
      while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
      const keys = open.at(-1);
      colon.lastIndex = at + 1;
      if (!keys || !colon.test(json)) continue;
      const key = json.slice(start, at + 1);
      const name = key.includes('\\') ? unescaped(key) : key.slice(1, -1);
      const most = open.length === 1 ? maxTensors + 1 : maxMetadata;
      if (keys.size >= most) return `has more than ${most} names in one list of its header`;
      if (keys.has(name)) return `names '${name}' twice in its header`;
      keys.add(name);
    }
  }
  return null;
}

/** Returns the text of a JSON string; an invalid one is returned as it is, for the parser to refuse. */
function unescaped(json: string): string {
  try {
    return JSON.parse(json) as string;
  } catch {
    return json;
  }
}

/** Numbers converted at a time, so that a large tensor does not need its stored bytes in memory as well. */
const partElements = 1 << 20;

/** Reads a tensor as float32, row-major. Refuses types other than F32, F16 and BF16. `hash` takes the bytes that are read. */
export function readSafetensorsFloat32(
  path: string,
  { name, type, offset, length }: SafetensorsTensor,
  hash: FileHash | null = null,
): Float32Array {
  const decode = decoder(path, name, type);
  const values = new Float32Array(length / elementBytes[type]);
  const part = partElements * elementBytes[type];
  withFile(path, (descriptor) => {
    for (let from = 0; from < length; from += part) {
      const bytes = readExactly(descriptor, path, offset + from, Math.min(part, length - from));
      hash?.take(offset + from, bytes);
      values.set(decode(bytes.buffer), from / elementBytes[type]);
    }
  });
  return values;
}

/** Returns the function that turns stored bytes into float32; `path` and `name` are for the error message. */
function decoder(path: string, name: string, type: SafetensorsType): (bytes: ArrayBuffer) => Float32Array {
  switch (type) {
    case 'F32':
      return (bytes) => new Float32Array(bytes);
    case 'F16':
      return (bytes) => halfToFloat32(new Uint16Array(bytes));
    case 'BF16':
      return (bytes) => bfloat16ToFloat32(new Uint16Array(bytes));
    default:
      throw new Problem(
        'format-unsupported',
        `'${path}' stores tensor '${name}' as ${type}; weights must be F32, F16 or BF16.`,
        'Use a model stored in one of these types.',
      );
  }
}

/** Encodes float32 values in a stored type, part by part. */
function* encoded(type: FloatType, values: Float32Array): Generator<Uint8Array> {
  for (let from = 0; from < values.length; from += partElements) {
    const part = values.subarray(from, from + partElements);
    const stored = type === 'F32' ? part : type === 'F16' ? float32ToHalf(part) : float32ToBfloat16(part);
    yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  }
}

export interface SafetensorsPlan {
  readonly name: string;
  readonly type: FloatType;
  readonly shape: readonly number[];
}

/** Returns the size in bytes that the file will have: header and tensors. */
export function safetensorsSize(plan: readonly SafetensorsPlan[], metadata: Readonly<Record<string, string>>): number {
  return makeHeader(plan, metadata).length + plan.reduce((sum, tensor) => sum + planBytes(tensor), 0);
}

/** Returns the size in bytes of a tensor alone. */
export function planBytes({ type, shape }: SafetensorsPlan): number {
  return shape.reduce((product, extent) => product * extent, elementBytes[type]);
}

function makeHeader(plan: readonly SafetensorsPlan[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const tensor of plan) {
    const end = offset + planBytes(tensor);
    header[tensor.name] = { dtype: tensor.type, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // The header is padded with spaces to a multiple of 8, as the Rust crate does, so that the data is aligned.
  const bytes = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}

export class SafetensorsWriter extends PlannedFile<SafetensorsPlan> {
  /** Begins the file. `hash` is updated with all of its bytes. */
  constructor(
    path: string,
    plan: readonly SafetensorsPlan[],
    metadata: Readonly<Record<string, string>> = { format: 'pt' },
    hash: Hash | null = null,
  ) {
    super(path, makeHeader(plan, metadata), plan, planBytes, 1, hash);
  }

  /** Writes the next tensor of the plan. */
  write(values: Float32Array): void {
    this.append(({ name, type }) => {
      if (type === 'F16') requireHalf(name, values);
      return encoded(type, values);
    });
  }
}
