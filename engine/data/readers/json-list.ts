/** A file that is one JSON list of objects. */
import { isBlank } from './bytes.ts';
import { JsonRecord, readSplit, type Splitter } from './json-text.ts';
import type { Reader, RecordOrProblem, RecordPlace } from './reader.ts';

const newline = 0x0a;
const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

export const jsonList: Reader = {
  recognise: (head) => head[0] === openBracket,
  read: (path, reading) => readSplit(path, reading, new ListSplitter(path, reading.from ?? null)),
};

class ListSplitter implements Splitter {
  readonly #record: JsonRecord;
  #line: number;
  #depth: number;
  #inString = false;
  #escaped = false;
  #closed = false;
  /** Whether the record that is collected has begun. */
  #started = false;

  constructor(path: string, from: RecordPlace | null) {
    this.#record = new JsonRecord(path);
    this.#line = from?.line ?? 1;
    this.#depth = from === null ? 0 : 1;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === newline) this.#line++;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === backslash) this.#escaped = true;
        else if (byte === quote) this.#inString = false;
        continue;
      }
      const ends = this.#depth === 1 && (byte === comma || byte === closeBracket || byte === closeBrace);
      if (ends) {
        if (this.#started) this.#record.add(bytes.subarray(start, at));
        this.#started = false;
        yield* this.#record.end();
        if (byte !== comma) {
          this.#depth = 0;
          this.#closed = true;
        }
        continue;
      }
      // What follows the list is a record that cannot be read.
      if (!this.#started && (this.#depth === 1 || this.#closed) && !isBlank(byte)) {
        this.#started = true;
        this.#record.begin({ line: this.#line, at: before + at });
        start = at;
      }
      if (byte === quote) this.#inString = true;
      else if (byte === openBracket || byte === openBrace) this.#depth++;
      else if (byte === closeBracket || byte === closeBrace) this.#depth--;
    }
    if (this.#started) this.#record.add(bytes.subarray(start));
  }

  *end(): Generator<RecordOrProblem> {
    if (this.#closed) yield* this.#record.end();
    else yield this.#record.damaged('the list that begins the file is never closed');
  }
}
