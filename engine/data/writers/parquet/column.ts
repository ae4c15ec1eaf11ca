/** Writes the values of one column in pages. */
import { crc32, zstdCompressSync } from 'node:zlib';
import { Binary } from '../../binary.ts';
import { type KeptType, storedOf } from '../../readers/parquet/kept-types.ts';
import { i32, i64, list, struct, text, type ThriftField, varint } from './thrift.ts';

/** Limits the bytes and values of a page. It is closed after the row with which it reaches one of them. */
const pageBytes = 1 << 20;
const pageValues = 1 << 17;

const plainEncoding = 0;
const levelEncoding = 3;
const zstandard = 6;

/** Lists the physical types by their number in the format. */
const physical = { boolean: 0, INT32: 1, INT64: 2, integer: 2, number: 5, empty: 6, text: 6, binary: 6, json: 6 } as const;

/** Describes where the values of a column are in the rows, how deeply they can be nested, and what they are. */
export interface ColumnPlan {
  readonly path: readonly string[];
  readonly kind: Exclude<keyof typeof physical, KeptType['type']> | 'kept';
  /** Is given for the kind `kept`. */
  readonly type?: KeptType;
  readonly maxDefinition: number;
  readonly maxRepetition: number;
}

export function physicalType({ kind, type }: Pick<ColumnPlan, 'kind' | 'type'>): number {
  return physical[kind === 'kept' ? type!.type : kind];
}

/**
 * Collects the values of one column of a row group. Levels say for each value to which list it belongs and how much of the path
 * to it is present.
 */
export class ColumnWriter {
  readonly #plan: ColumnPlan;
  readonly #pages: Buffer[] = [];
  #repetitions: number[] = [];
  #definitions: number[] = [];
  #values = new Bytes();
  #bits: boolean[] = [];
  #count = 0;
  /** Counts the bytes of the pages with their headers; `#unpacked` counts them before compression. */
  #packed = 0;
  #unpacked = 0;

  constructor(plan: ColumnPlan) {
    this.#plan = plan;
  }

  /** Returns the bytes that are held, before compression. */
  get bytes(): number {
    return this.#unpacked + this.#pageBytes;
  }

  get #pageBytes(): number {
    return this.#values.length + this.#definitions.length * 2;
  }

  /** Adds a value, or where there is none how much of the path to it is present. */
  put(value: unknown, repetition: number, definition: number): void {
    const { kind, type, maxDefinition, maxRepetition } = this.#plan;
    if (maxRepetition > 0) this.#repetitions.push(repetition);
    this.#definitions.push(definition);
    if (definition < maxDefinition) return;
    if (kind === 'boolean') this.#bits.push(value === true);
    else if (kind === 'kept') this.#values.integer(storedOf(value, type!)!, type!.type);
    else if (kind === 'integer') this.#values.integer(BigInt(value as number));
    else if (kind === 'number') this.#values.number(value as number);
    else if (kind === 'binary' && value instanceof Binary) this.#values.bytes(value.content);
    else this.#values.text(kind === 'json' ? JSON.stringify(value) : (value as string));
  }

  /** Closes the page if it is large enough. A row is never divided between pages. */
  endRow(): void {
    if (this.#pageBytes >= pageBytes || this.#definitions.length >= pageValues) this.#endPage();
  }

  /**
   * Passes the pages to `write` and returns what the footer says of them. `at` is the position in the file at which they begin.
   */
  end(
    at: number,
    write: (bytes: Buffer) => void,
  ): { readonly chunk: ThriftField; readonly unpacked: number; readonly packed: number } {
    if (this.#definitions.length > 0) this.#endPage();
    for (const page of this.#pages) write(page);
    const meta = struct({
      1: i32(physicalType(this.#plan)),
      2: list([i32(plainEncoding), i32(levelEncoding)]),
      3: list(this.#plan.path.map(text)),
      4: i32(zstandard),
      5: i64(this.#count),
      6: i64(this.#unpacked),
      7: i64(this.#packed),
      9: i64(at),
    });
    return { chunk: struct({ 2: i64(at), 3: meta }), unpacked: this.#unpacked, packed: this.#packed };
  }

  #endPage(): void {
    const { maxRepetition } = this.#plan;
    const count = this.#definitions.length;
    const content = Buffer.concat([
      ...(maxRepetition > 0 ? [runsOf(this.#repetitions)] : []),
      runsOf(this.#definitions),
      this.#values.taken(),
      packedBits(this.#bits),
    ]);
    const packed = zstdCompressSync(content);
    const header = struct({
      1: i32(0),
      2: i32(content.length),
      3: i32(packed.length),
      4: i32(crc32(packed) | 0),
      5: struct({ 1: i32(count), 2: i32(plainEncoding), 3: i32(levelEncoding), 4: i32(levelEncoding) }),
    }).bytes;
    this.#pages.push(header, packed);
    this.#packed += header.length + packed.length;
    this.#unpacked += header.length + content.length;
    this.#count += count;
    this.#repetitions = [];
    this.#definitions = [];
    this.#bits = [];
  }
}

/** Returns levels as runs of equal ones, after their length in bytes. */
function runsOf(levels: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  for (let from = 0; from < levels.length;) {
    let to = from + 1;
    while (to < levels.length && levels[to] === levels[from]) to++;
    parts.push(varint(2 * (to - from)), Buffer.from([levels[from]!]));
    from = to;
  }
  const runs = Buffer.concat(parts);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(runs.length);
  return Buffer.concat([length, runs]);
}

/** Packs eight booleans into a byte, the first in its lowest bit. */
function packedBits(bits: readonly boolean[]): Buffer {
  const bytes = Buffer.alloc(Math.ceil(bits.length / 8));
  for (const [i, bit] of bits.entries()) if (bit) bytes[i >> 3]! |= 1 << (i & 7);
  return bytes;
}

/** Collects bytes in a buffer that grows. */
class Bytes {
  #bytes = Buffer.alloc(256);
  length = 0;

  integer(value: bigint, type: KeptType['type'] = 'INT64'): void {
    const at = this.#reserve(type === 'INT32' ? 4 : 8);
    if (type === 'INT32') this.#bytes.writeInt32LE(Number(value), at);
    else this.#bytes.writeBigInt64LE(value, at);
  }

  number(value: number): void {
    const at = this.#reserve(8);
    this.#bytes.writeDoubleLE(value, at);
  }

  bytes(value: Buffer): void {
    const at = this.#reserve(4 + value.length);
    this.#bytes.writeUInt32LE(value.length, at);
    value.copy(this.#bytes, at + 4);
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    const at = this.#reserve(4 + length);
    this.#bytes.writeUInt32LE(length, at);
    this.#bytes.write(value, at + 4);
  }

  /** Returns what was collected, and resets itself. */
  taken(): Buffer {
    const bytes = this.#bytes.subarray(0, this.length);
    this.#bytes = Buffer.alloc(256);
    this.length = 0;
    return bytes;
  }

  #reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.length, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    return at;
  }
}
