/** Reads one column of a row group, page by page, and returns what each row has in it. */
import { crc32 } from 'node:zlib';
import { unpackPage } from './codecs.ts';
import { requireSound, Unread } from './damage.ts';
import { Dictionary, Runs, type Values, valuesOf } from './encodings.ts';
import { type ColumnChunk, type Node, numberOf, structOf } from './footer.ts';
import { readStruct } from './thrift.ts';
import { toValue } from './value.ts';

/** Reads bytes of the file. */
export type ReadBytes = (at: number, length: number) => Promise<Buffer>;

/** Counts the bytes of pages in memory, over all columns. */
export interface Held {
  bytes: number;
}

/**
 * Limits the bytes of pages in memory. Programs write pages of one megabyte, and some write one page for a whole column of a
 * row group.
 */
const mostHeld = 256 << 20;
const headerBytes = 1 << 14;
const longestHeader = 1 << 22;
/** Limits the number of values that one row may have in one column. */
const mostInRow = 1 << 20;

/** Holds the values of one row in one column, with the levels that say to which list or object each belongs. */
export interface RowValues {
  readonly repetitions: number[];
  readonly definitions: number[];
  /** Holds undefined where a value is absent. */
  readonly values: unknown[];
}

export class Column {
  readonly #node: Node;
  readonly #chunk: ColumnChunk;
  readonly #read: ReadBytes;
  readonly #held: Held;
  #at: number;
  #dictionary: Dictionary | null = null;
  #dictionaryBytes = 0;
  #pageBytes = 0;
  /** Counts the values of the column that no page has supplied so far; `#left` counts the unread values of the page. */
  #unread: number;
  #left = 0;
  #repetitions: Runs | null = null;
  #definitions: Runs | null = null;
  #values: Values | null = null;
  /** Holds the repetition level of the next value, or null before it is read. */
  #next: number | null = null;

  constructor(node: Node, chunk: ColumnChunk, read: ReadBytes, held: Held) {
    this.#node = node;
    this.#chunk = chunk;
    this.#read = read;
    this.#held = held;
    this.#at = chunk.start;
    this.#unread = chunk.values;
  }

  /** Returns the next row's values. Most rows are in the open page and need no waiting. */
  row(): RowValues | Promise<RowValues> {
    const row: RowValues = { repetitions: [], definitions: [], values: [] };
    if (this.#left > 0) {
      this.#take(row);
      if (!this.#mayGoOn) return row;
    }
    return this.#rowOfPages(row);
  }

  async #rowOfPages(row: RowValues): Promise<RowValues> {
    do {
      if (this.#left === 0) await this.#open(0);
      this.#take(row);
    } while (this.#mayGoOn);
    return row;
  }

  /** Returns whether the next page may begin with more values of the row that was read. */
  get #mayGoOn(): boolean {
    return this.#left === 0 && this.#unread > 0 && this.#node.maxRepetition > 0;
  }

  /** Skips rows. Whole pages of a column without lists are skipped without decompressing them. */
  async skip(rows: number): Promise<void> {
    if (this.#node.maxRepetition > 0) {
      for (let i = 0; i < rows; i++) await this.row();
      return;
    }
    for (let left = rows; left > 0;) {
      if (this.#left === 0) left -= await this.#open(left);
      for (; this.#left > 0 && left > 0; left--) {
        this.#left--;
        if (this.#definition() === this.#node.maxDefinition) this.#values!.next();
      }
    }
  }

  close(): void {
    this.#hold(0);
    this.#held.bytes -= this.#dictionaryBytes;
    this.#dictionaryBytes = 0;
  }

  #take(row: RowValues): void {
    const { maxDefinition, maxRepetition } = this.#node;
    if (maxRepetition === 0) {
      this.#left--;
      const definition = this.#definition();
      row.definitions.push(definition);
      row.values.push(definition === maxDefinition ? toValue(this.#values!.next(), this.#node) : undefined);
      return;
    }
    while (this.#left > 0) {
      const repetition = this.#next ?? this.#repetitions?.next() ?? 0;
      this.#next = repetition;
      if (row.definitions.length === 0) requireSound(repetition === 0, 'a row begins in the midst of a list');
      else if (repetition === 0) return;
      requireSound(repetition <= maxRepetition && row.definitions.length < mostInRow, 'a row has too many values');
      this.#next = null;
      this.#left--;
      const definition = this.#definition();
      requireSound(definition <= maxDefinition, 'a value is nested more deeply than its column');
      row.repetitions.push(repetition);
      row.definitions.push(definition);
      row.values.push(definition === maxDefinition ? toValue(this.#values!.next(), this.#node) : undefined);
    }
  }

  #definition(): number {
    return this.#definitions === null ? this.#node.maxDefinition : this.#definitions.next();
  }

  /** Opens the next page with values, skipping whole pages of up to `skipped` values. Returns how many values it skipped. */
  async #open(skipped: number): Promise<number> {
    const end = this.#chunk.start + this.#chunk.bytes;
    for (let passed = 0; ;) {
      requireSound(this.#unread > 0 && this.#at < end, 'it ends before its last row');
      const { value: header, length } = await this.#header(Math.min(end - this.#at, longestHeader));
      const size = numberOf(header[3], 'size of a page');
      const start = this.#at + length;
      requireSound(start + size <= end, 'a page is longer than its column');
      this.#at = start + size;
      const type = numberOf(header[1], 'kind of a page');
      if (type !== 0 && type !== 2 && type !== 3) continue;
      const counts = structOf(header[type === 0 ? 5 : type === 2 ? 7 : 8], 'a page');
      const count = numberOf(counts[1], 'values of a page');
      if (type !== 2) {
        requireSound(count <= this.#unread, 'a page has more values than its column');
        this.#unread -= count;
        // In a column without lists every value is a row.
        if (passed + count <= skipped) {
          passed += count;
          if (passed === skipped) return passed;
          continue;
        }
      }
      const unpacked = numberOf(header[2], 'unpacked size of a page');
      this.#requireRoom(unpacked, type === 2);
      const bytes = await this.#read(start, size);
      if (typeof header[4] === 'number') requireSound(crc32(bytes) === header[4] >>> 0, 'a page is not what its checksum says');
      if (type === 2) {
        this.#dictionaryBytes = unpacked;
        this.#held.bytes += unpacked;
        this.#dictionary = new Dictionary(unpackPage(this.#chunk.codec, bytes, unpacked), this.#node, count);
        continue;
      }
      this.#hold(unpacked);
      this.#left = count;
      this.#next = null;
      if (type === 0) this.#openFirst(unpackPage(this.#chunk.codec, bytes, unpacked), counts);
      else this.#openSecond(bytes, unpacked, counts);
      if (count > 0) return passed;
    }
  }

  /** Opens a page of version 1: levels are compressed with the values, after their length. */
  #openFirst(bytes: Buffer, counts: ReturnType<typeof structOf>): void {
    const { maxRepetition, maxDefinition } = this.#node;
    let at = 0;
    const levels = (most: number, encoding: unknown): Runs | null => {
      if (most === 0) return null;
      if (encoding !== 3) throw new Unread('its levels are packed as in the first files of the format', 'Write it again.');
      requireSound(at + 4 <= bytes.length, 'a page is cut off');
      const start = at + 4;
      at = start + bytes.readUInt32LE(at);
      return new Runs(bytes, start, at, bitsOf(most));
    };
    this.#repetitions = levels(maxRepetition, counts[4]);
    this.#definitions = levels(maxDefinition, counts[3]);
    this.#values = valuesOf(numberOf(counts[2], 'encoding of a page'), bytes.subarray(at), this.#node, this.#dictionary);
  }

  /** Opens a page of version 2: its header gives the length of the levels, which are not compressed. */
  #openSecond(bytes: Buffer, unpacked: number, counts: ReturnType<typeof structOf>): void {
    const { maxRepetition, maxDefinition } = this.#node;
    const definitionBytes = numberOf(counts[5], 'length of levels');
    const repetitionBytes = numberOf(counts[6], 'length of levels');
    const at = repetitionBytes + definitionBytes;
    requireSound(at <= bytes.length && at <= unpacked, 'a page is cut off');
    this.#repetitions = maxRepetition === 0 ? null : new Runs(bytes, 0, repetitionBytes, bitsOf(maxRepetition));
    this.#definitions = maxDefinition === 0 ? null : new Runs(bytes, repetitionBytes, at, bitsOf(maxDefinition));
    const packed = bytes.subarray(at);
    const values = counts[7] === false ? packed : unpackPage(this.#chunk.codec, packed, unpacked - at);
    this.#values = valuesOf(numberOf(counts[4], 'encoding of a page'), values, this.#node, this.#dictionary);
  }

  async #header(most: number): Promise<ReturnType<typeof readStruct>> {
    const bytes = await this.#read(this.#at, Math.min(most, headerBytes));
    try {
      return readStruct(bytes);
    } catch (error) {
      // The header may hold the minimum and maximum of long texts.
      if (bytes.length === most) throw error;
      return readStruct(await this.#read(this.#at, most));
    }
  }

  #requireRoom(unpacked: number, isDictionary: boolean): void {
    const others = this.#held.bytes - (isDictionary ? 0 : this.#pageBytes);
    if (others + unpacked <= mostHeld) return;
    const megabytes = (bytes: number) => `${Math.ceil(bytes / (1 << 20))} MB`;
    const beside = others === 0 ? '' : ` beside ${megabytes(others)} of other columns`;
    throw new Unread(
      `a page unpacks to ${megabytes(unpacked)}${beside}, more than the ${megabytes(mostHeld)} that are read at once`,
      'Write the file with smaller pages: data_page_size and row_group_size of pyarrow, ROW_GROUP_SIZE of DuckDB, row_group_size of polars.',
    );
  }

  #hold(bytes: number): void {
    this.#held.bytes += bytes - this.#pageBytes;
    this.#pageBytes = bytes;
  }
}

function bitsOf(most: number): number {
  return 32 - Math.clz32(most);
}
