/** Reads Thrift's compact protocol, in which Parquet writes its footer and the headers of pages. */
import { requireSound } from './damage.ts';

export type ThriftValue = number | boolean | Buffer | readonly ThriftValue[] | ThriftStruct;
/** Maps the number of each field to its value. */
export interface ThriftStruct {
  readonly [field: number]: ThriftValue;
}

const deepest = 32;

/**
 * Reads one struct from the beginning of `bytes` and returns its length too. Nothing is allocated that the bytes do not
 * contain.
 */
export function readStruct(bytes: Buffer): { readonly value: ThriftStruct; readonly length: number } {
  const reader = new ThriftReader(bytes);
  return { value: reader.struct(0), length: reader.at };
}

class ThriftReader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  struct(depth: number): ThriftStruct {
    requireSound(depth < deepest, 'its structure is nested too deeply');
    const value: Record<number, ThriftValue> = {};
    for (let field = 0; ;) {
      const header = this.#byte();
      if (header === 0) return value;
      const delta = header >> 4;
      field = delta === 0 ? this.#zigZag() : field + delta;
      const type = header & 15;
      // A boolean field has its value in its type.
      value[field] = type === 1 || type === 2 ? type === 1 : this.#value(type, depth);
    }
  }

  #value(type: number, depth: number): ThriftValue {
    switch (type) {
      case 1:
      case 2:
        return this.#byte() === 1;
      case 3:
        return (this.#byte() << 24) >> 24;
      case 4:
      case 5:
      case 6:
        return this.#zigZag();
      case 7:
        return this.#take(8).readDoubleLE();
      case 8:
        return this.#take(this.#varint());
      case 9:
      case 10:
        return this.#list(depth);
      case 12:
        return this.struct(depth + 1);
      default:
        requireSound(false, `its structure has an unknown type ${type}`);
    }
  }

  #list(depth: number): ThriftValue[] {
    requireSound(depth < deepest, 'its structure is nested too deeply');
    const header = this.#byte();
    const size = header >> 4 === 15 ? this.#varint() : header >> 4;
    requireSound(size <= this.#bytes.length - this.at, 'a list in its structure is longer than the file');
    return Array.from({ length: size }, () => this.#value(header & 15, depth + 1));
  }

  #take(length: number): Buffer {
    requireSound(length >= 0 && length <= this.#bytes.length - this.at, 'its structure is cut off');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  #byte(): number {
    return this.#take(1)[0]!;
  }

  /** Reads a number. No count or position is larger than 2^53. */
  #varint(): number {
    let value = 0;
    for (let scale = 1, i = 0; i < 10; i++, scale *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    requireSound(false, 'its structure has a number without an end');
  }

  #zigZag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
