/**
 * Decodes the values of Parquet pages. Values are decoded one after another, on demand, because a page of a few bytes may claim
 * to hold billions of values.
 */
import { requireSound, Unread } from './damage.ts';
import type { Node, PhysicalType } from './footer.ts';

/** Returns values one after another: numbers, bigints for large numbers, booleans, or bytes. */
export interface Values {
  next(): RawValue;
}
export type RawValue = number | bigint | boolean | Buffer;

/** Limits the number of values whose lengths are stored before them. */
const mostLengths = 1 << 24;

/** Returns the values of a page of `type` by the number of their encoding. `dictionary` is that of the column. */
export function valuesOf(encoding: number, bytes: Buffer, { type, typeLength }: Node, dictionary: Dictionary | null): Values {
  requireSound(type !== null, '');
  switch (encoding) {
    case 0:
      return plain(bytes, type, typeLength);
    case 2:
    case 8: {
      requireSound(dictionary !== null, 'a page refers to a dictionary that is not there');
      const indices = new Runs(bytes, 1, bytes.length, bytes[0] ?? 0);
      return { next: () => dictionary.at(indices.next()) };
    }
    case 3: {
      requireSound(type === 'BOOLEAN', 'a page has an encoding for true and false');
      const bits = new Runs(bytes, 4, bytes.length, 1);
      return { next: () => bits.next() === 1 };
    }
    case 5:
      requireSound(type === 'INT32' || type === 'INT64', 'a page has an encoding for whole numbers');
      return new Deltas(bytes, type === 'INT64');
    case 6:
      return lengthsFirst(bytes);
    case 7:
      return prefixesFirst(bytes);
    case 9:
      return split(bytes, type, typeLength);
    default:
      throw new Unread(
        `its values have the encoding ${encoding}, which is not read here`,
        'Write it with the default encoding.',
      );
  }
}

/** Holds the values that pages refer to by number. */
export class Dictionary {
  readonly #values: RawValue[] = [];
  readonly #plain: Values;
  readonly #count: number;

  constructor(bytes: Buffer, node: Node, count: number) {
    this.#plain = plain(bytes, node.type!, node.typeLength);
    this.#count = count;
  }

  at(index: number): RawValue {
    requireSound(index < this.#count, 'a page refers to a value that its dictionary has not');
    while (this.#values.length <= index) this.#values.push(this.#plain.next());
    return this.#values[index]!;
  }
}

const widths: Readonly<Partial<Record<PhysicalType, number>>> = { INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8 };

function fixed(bytes: Buffer, at: number, type: PhysicalType, width: number): RawValue {
  requireSound(at + width <= bytes.length, 'a page ends in the midst of its values');
  switch (type) {
    case 'INT32':
      return bytes.readInt32LE(at);
    case 'INT64':
      return bytes.readBigInt64LE(at);
    case 'FLOAT':
      return bytes.readFloatLE(at);
    case 'DOUBLE':
      return bytes.readDoubleLE(at);
    default:
      return bytes.subarray(at, at + width);
  }
}

function plain(bytes: Buffer, type: PhysicalType, typeLength: number): Values {
  let at = 0;
  if (type === 'BOOLEAN')
    return {
      next() {
        requireSound(at >> 3 < bytes.length, 'a page ends in the midst of its values');
        const bit = (bytes[at >> 3]! >> (at & 7)) & 1;
        at++;
        return bit === 1;
      },
    };
  if (type === 'BYTE_ARRAY')
    return {
      next() {
        requireSound(at + 4 <= bytes.length, 'a page ends in the midst of its values');
        const length = bytes.readUInt32LE(at);
        requireSound(at + 4 + length <= bytes.length, 'a value is longer than its page');
        at += 4 + length;
        return bytes.subarray(at - length, at);
      },
    };
  const width = widths[type] ?? typeLength;
  requireSound(width > 0, 'a column has values of no length');
  return {
    next() {
      const value = fixed(bytes, at, type, width);
      at += width;
      return value;
    },
  };
}

/** Decodes values stored as the first bytes of all of them, then the second bytes, and so on. */
function split(bytes: Buffer, type: PhysicalType, typeLength: number): Values {
  const width = widths[type] ?? typeLength;
  requireSound(width > 0, 'a page has an encoding for numbers');
  const count = Math.floor(bytes.length / width);
  let i = 0;
  return {
    next() {
      requireSound(i < count, 'a page ends in the midst of its values');
      const value = Buffer.alloc(width);
      for (let byte = 0; byte < width; byte++) value[byte] = bytes[byte * count + i]!;
      i++;
      return fixed(value, 0, type, width);
    },
  };
}

function lengthsFirst(bytes: Buffer): Values {
  const { numbers, end } = deltasOf(bytes);
  let [i, at] = [0, end];
  return {
    next() {
      const length = numbers[i++] ?? -1;
      requireSound(length >= 0 && at + length <= bytes.length, 'a value is longer than its page');
      at += length;
      return bytes.subarray(at - length, at);
    },
  };
}

/** Decodes values that share a prefix with the previous value. */
function prefixesFirst(bytes: Buffer): Values {
  const prefixes = deltasOf(bytes);
  const suffixes = lengthsFirst(bytes.subarray(prefixes.end));
  let before: Buffer = Buffer.alloc(0);
  let i = 0;
  return {
    next() {
      const prefix = prefixes.numbers[i++] ?? -1;
      requireSound(prefix >= 0 && prefix <= before.length, 'a value begins like one that is not there');
      const suffix = suffixes.next() as Buffer;
      before = prefix === 0 ? suffix : Buffer.concat([before.subarray(0, prefix), suffix]);
      return before;
    },
  };
}

/** Decodes the integers stored before the values they describe, and returns where they end. */
function deltasOf(bytes: Buffer): { readonly numbers: readonly number[]; readonly end: number } {
  const deltas = new Deltas(bytes, false);
  requireSound(deltas.count <= mostLengths, 'a page is said to have too many values');
  const numbers: number[] = [];
  while (numbers.length < deltas.count) numbers.push(Number(deltas.next()));
  return { numbers, end: deltas.end() };
}

/** Decodes integers stored as differences from the previous one, packed in blocks. */
class Deltas implements Values {
  readonly count: number;
  readonly #bytes: Buffer;
  readonly #wide: boolean;
  readonly #miniblocks: number;
  readonly #perMiniblock: number;
  #at = 0;
  #value: bigint;
  #given = 0;
  #least = 0n;
  #widths: Buffer = Buffer.alloc(0);
  /** Numbers the miniblock of the block; `#left` counts the values left in it, and `#bit` is its next bit. */
  #miniblock = 0;
  #left = 0;
  #bit = 0;

  constructor(bytes: Buffer, wide: boolean) {
    this.#bytes = bytes;
    this.#wide = wide;
    const block = Number(this.#varint());
    this.#miniblocks = Number(this.#varint());
    this.count = Number(this.#varint());
    this.#value = this.#zigZag();
    this.#perMiniblock = block / this.#miniblocks;
    const sound = this.#miniblocks > 0 && this.#perMiniblock > 0 && this.#perMiniblock % 8 === 0;
    requireSound(sound, 'a page has blocks of no size');
    this.#miniblock = this.#miniblocks;
  }

  next(): number | bigint {
    requireSound(this.#given < this.count, 'a page ends in the midst of its values');
    if (this.#given++ > 0) {
      if (this.#left === 0) this.#openMiniblock();
      this.#left--;
      this.#value += this.#least + this.#packed(this.#widths[this.#miniblock]!);
      // Differences may wrap around.
      this.#value = BigInt.asIntN(this.#wide ? 64 : 32, this.#value);
    }
    return this.#wide ? this.#value : Number(this.#value);
  }

  /** Returns the position after the last miniblock with a value in it. */
  end(): number {
    const left = this.#left * (this.#widths[this.#miniblock] ?? 0);
    return this.#at + Math.ceil((this.#bit + left) / 8);
  }

  #openMiniblock(): void {
    this.#at += Math.ceil(this.#bit / 8);
    this.#bit = 0;
    if (++this.#miniblock >= this.#miniblocks) {
      this.#least = this.#zigZag();
      this.#widths = this.#bytes.subarray(this.#at, this.#at + this.#miniblocks);
      requireSound(this.#widths.length === this.#miniblocks, 'a page ends in the midst of its values');
      this.#at += this.#miniblocks;
      this.#miniblock = 0;
    }
    this.#left = this.#perMiniblock;
  }

  #packed(width: number): bigint {
    if (width === 0) return 0n;
    requireSound(width <= 64, 'a page has values of too many bits');
    let value = 0n;
    for (let got = 0; got < width;) {
      const byte = this.#bytes[this.#at + (this.#bit >> 3)];
      requireSound(byte !== undefined, 'a page ends in the midst of its values');
      const taken = Math.min(8 - (this.#bit & 7), width - got);
      value |= BigInt((byte >> (this.#bit & 7)) & ((1 << taken) - 1)) << BigInt(got);
      got += taken;
      this.#bit += taken;
    }
    return value;
  }

  #varint(): bigint {
    let value = 0n;
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at++];
      requireSound(byte !== undefined, 'a page ends in the midst of its values');
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return value;
    }
    requireSound(false, 'a page has a number without an end');
  }

  #zigZag(): bigint {
    const value = this.#varint();
    return (value >> 1n) ^ -(value & 1n);
  }
}

/** Decodes integers of `width` bits in runs: a repeated value, or bit-packed values. */
export class Runs {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #width: number;
  #at: number;
  #left = 0;
  /** Holds the value of a run. It is null for bit-packed values, of which `#bit` is the next bit. */
  #value: number | null = null;
  #bit = 0;

  constructor(bytes: Buffer, start: number, end: number, width: number) {
    requireSound(width <= 32 && start <= end && end <= bytes.length, 'a page is cut off');
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#width = width;
  }

  next(): number {
    if (this.#width === 0) return 0;
    if (this.#left === 0) this.#open();
    this.#left--;
    return this.#value ?? this.#packed();
  }

  #open(): void {
    let header: number;
    do {
      let byte: number;
      let shift = 0;
      header = 0;
      do {
        requireSound(this.#at < this.#end && shift < 35, 'a page ends in the midst of its values');
        byte = this.#bytes[this.#at++]!;
        header += (byte & 127) * 2 ** shift;
        shift += 7;
      } while (byte >= 128);
      // Some programs write empty runs.
    } while (header < 2);
    const count = Math.floor(header / 2);
    if (header % 2 === 1) {
      this.#value = null;
      this.#left = 8 * count;
      this.#bit = 8 * this.#at;
      this.#at += count * this.#width;
      return;
    }
    const bytes = (this.#width + 7) >> 3;
    requireSound(this.#at + bytes <= this.#end, 'a page ends in the midst of its values');
    this.#value = this.#bytes.readUIntLE(this.#at, bytes);
    this.#at += bytes;
    this.#left = count;
  }

  #packed(): number {
    const width = this.#width;
    let value = 0;
    for (let got = 0; got < width;) {
      const place = Math.floor(this.#bit / 8);
      requireSound(place < this.#end, 'a page ends in the midst of its values');
      const offset = this.#bit % 8;
      const taken = Math.min(8 - offset, width - got);
      value += ((this.#bytes[place]! >> offset) & ((1 << taken) - 1)) * 2 ** got;
      got += taken;
      this.#bit += taken;
    }
    return value;
  }
}
