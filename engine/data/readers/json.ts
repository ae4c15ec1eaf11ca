/**
 * Reads JSON files that are not one object a line: a list of objects, a list inside an object, or objects one after another.
 */
import { isBlank } from './bytes.ts';
import { jsonShape, type JsonShape } from './json-shape.ts';
import { JsonRecord, parseJson } from './json-text.ts';
import { readSplit, type Splitter } from './record.ts';
import type { Reader, RecordOrProblem, RecordPlace } from './reader.ts';
import type { Source } from './source.ts';

const newline = 0x0a;
const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

const inList = 'Each row is one JSON object in the list.';
const inTurn = 'Each row is one JSON object, from its { to its }.';

export const json: Reader = {
  recognise: (source) => !['lines', undefined].includes(jsonShape(source)?.kind),
  describe(source) {
    const shape = shapeOf(source);
    if (shape.kind === 'wrapped') return `JSON, the list '${shape.field}' of an object`;
    return shape.kind === 'list' ? 'JSON, a list of objects' : 'JSON, objects one after another';
  },
  read(source, reading) {
    const { path } = source;
    const from = reading.from ?? null;
    const shape = shapeOf(source);
    if (shape.kind === 'objects') return readSplit(source, reading, new ObjectSplitter(path, from, shape.nested));
    const start = shape.kind === 'wrapped' ? shape : { field: null, place: { line: 1, at: 0 } };
    return readSplit(source, reading, new ListSplitter(path, from, start), start.place.at);
  },
};

function shapeOf(source: Source): Exclude<JsonShape, { kind: 'lines' }> {
  const shape = jsonShape(source);
  return shape === null || shape.kind === 'lines' ? { kind: 'list' } : shape;
}

/** Follows the strings and the depth of JSON, byte by byte. */
class Nesting {
  depth: number;
  #inString = false;
  #escaped = false;

  constructor(depth: number) {
    this.depth = depth;
  }

  /** Takes a byte and returns true if it lies within a string, otherwise returns false and does nothing. */
  takesInString(byte: number): boolean {
    if (!this.#inString) return false;
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inString = false;
    return true;
  }

  /** Takes a byte outside of strings. */
  take(byte: number): void {
    if (byte === quote) this.#inString = true;
    else if (byte === openBracket || byte === openBrace) this.depth++;
    else if (byte === closeBracket || byte === closeBrace) this.depth--;
  }
}

class ListSplitter implements Splitter {
  readonly #record: JsonRecord;
  readonly #nesting: Nesting;
  #line: number;
  #closed = false;
  /** Says whether the record that is being collected has begun. */
  #started = false;
  /** Names the field of the object around the list, or is null where there is no such object. */
  readonly #field: string | null;

  constructor(path: string, from: RecordPlace | null, start: { readonly field: string | null; readonly place: RecordPlace }) {
    this.#record = new JsonRecord(path, inList);
    this.#line = from?.line ?? start.place.line;
    this.#nesting = new Nesting(from === null ? 0 : 1);
    this.#field = start.field;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === newline) this.#line++;
      if (this.#nesting.takesInString(byte)) continue;
      const { depth } = this.#nesting;
      const ends = !this.#closed && depth === 1 && (byte === comma || byte === closeBracket || byte === closeBrace);
      if (ends) {
        if (this.#started) this.#record.add(bytes.subarray(start, at));
        this.#started = false;
        yield* this.#record.end();
        if (byte !== comma) {
          this.#nesting.depth = 0;
          this.#closed = true;
        }
        continue;
      }
      // Anything after the list is a record that cannot be read.
      if (!this.#started && (depth === 1 || this.#closed) && !isBlank(byte)) {
        this.#started = true;
        this.#record.begin({ line: this.#line, at: before + at });
        start = at;
      }
      this.#nesting.take(byte);
    }
    if (this.#started) this.#record.add(bytes.subarray(start));
  }

  *end(): Generator<RecordOrProblem> {
    if (!this.#closed) yield this.#record.damaged('the list of rows is never closed');
    else if (this.#field === null) yield* this.#record.end();
    else yield* this.#endObject(this.#field);
  }

  /** Reads the rest of the object around the list. It consists of other fields, none of which is another list of rows. */
  *#endObject(field: string): Generator<RecordOrProblem> {
    const rest = this.#record.take().toString();
    let fields: Readonly<Record<string, unknown>>;
    try {
      fields = parseJson(`{${JSON.stringify(field)}: 0 ${rest}`) as typeof fields;
    } catch {
      yield this.#record.damaged(`what follows the list '${field}' is no JSON, or too long`);
      return;
    }
    const other = Object.keys(fields).find((name) => {
      const value = fields[name];
      return Array.isArray(value) && value.some((entry) => typeof entry === 'object' && entry !== null);
    });
    if (other !== undefined)
      yield this.#record.damaged(`beside the list '${field}' there is another one, '${other}', which is not read`, {
        hint: 'Write each list of rows into a file of its own.',
      });
  }
}

/** Splits objects that are separated by white space or a comma. */
class ObjectSplitter implements Splitter {
  readonly #record: JsonRecord;
  /** Says whether a brace at the beginning of a line begins a row even where the previous row never ended. */
  readonly #recovers: boolean;
  #nesting = new Nesting(0);
  #line: number;
  #started = false;
  #beginsLine = true;

  constructor(path: string, from: RecordPlace | null, nested: boolean) {
    this.#record = new JsonRecord(path, inTurn);
    this.#recovers = !nested;
    this.#line = from?.line ?? 1;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      const beginsLine = this.#beginsLine;
      this.#beginsLine = byte === newline;
      if (byte === newline) this.#line++;
      if (beginsLine && byte === openBrace && this.#started && this.#recovers) {
        this.#record.add(bytes.subarray(start, at));
        yield* this.#end();
      } else if (this.#nesting.takesInString(byte)) continue;
      if (!this.#started) {
        if (isBlank(byte) || byte === comma) continue;
        this.#started = true;
        this.#record.begin({ line: this.#line, at: before + at });
        start = at;
      }
      this.#nesting.take(byte);
      if (this.#nesting.depth <= 0 && byte === closeBrace) {
        this.#record.add(bytes.subarray(start, at + 1));
        yield* this.#end();
      }
    }
    if (this.#started) this.#record.add(bytes.subarray(start));
  }

  end(): Generator<RecordOrProblem> {
    return this.#end();
  }

  *#end(): Generator<RecordOrProblem> {
    this.#started = false;
    this.#nesting = new Nesting(0);
    yield* this.#record.end();
  }
}
