/** The records of a JSONL file or of a JSON array, one at a time, with their line numbers, in bounded memory. */
import type { Hash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { Problem, shown, unansweredHint, type ProblemValue } from '../problem.ts';

/** Where a record begins in its file. */
export interface RecordPlace {
  readonly line: number;
  /** Bytes of the file before it. */
  readonly at: number;
  /** Whether the file is one JSON list, rather than a record on each line. */
  readonly inList: boolean;
}

export type RecordOrProblem = RecordPlace & {
  /** Length of the record in the file. */
  readonly bytes: number;
} & ({ readonly value: Readonly<Record<string, unknown>> } | { readonly problem: ProblemValue });

/** The most bytes one record may have: more tokens than any context, and a text the tokenizer is through with in seconds. */
export const maxRecordBytes = 4 * 1024 * 1024;

const newline = 0x0a;
const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const byteOrderMark = [0xef, 0xbb, 0xbf];

interface Reading {
  readonly hash?: Hash;
  readonly from?: RecordPlace | null;
  /** Told where the reading is after each piece of the file in which no record ends: there may be gigabytes of blank lines. */
  readonly onNothing?: (place: RecordPlace) => void | Promise<void>;
}

/** Reads `path`, from a record that was read before where one is given; every byte also goes into `hash`. */
export async function* readRecords(
  path: string,
  { hash, from = null, onNothing = () => {} }: Reading = {},
): AsyncGenerator<RecordOrProblem> {
  checkFile(path);
  const pieces = new Pieces(path, from);
  let array = from?.inList ?? null;
  let head = Buffer.alloc(0);
  const state = { depth: from?.inList === true ? 1 : 0, inString: false, escaped: false, closed: false };
  for await (const chunk of chunksOf(path, from?.at ?? 0)) {
    hash?.update(chunk);
    let bytes = chunk;
    if (array === null) {
      head = Buffer.concat([head, chunk]);
      refuseOtherKind(path, head);
      const start = byteOrderMark.every((byte, i) => head[i] === byte) ? 3 : 0;
      const first = head.subarray(start).findIndex((byte) => !isSpace(byte));
      // Blank so far: wait, unless the blank is long already.
      if (first < 0 && head.length < 1 << 20) continue;
      array = first >= 0 && head[start + first] === openBracket;
      bytes = head.subarray(start);
      pieces.begin(array, start);
    }
    let found = false;
    for (const record of array ? pieces.splitArray(bytes, state) : pieces.splitLines(bytes)) {
      found = true;
      yield record;
    }
    if (!found) await onNothing(pieces.reached);
  }
  if (array === true && !state.closed) {
    yield pieces.damaged('the list that begins the file is never closed');
    return;
  }
  yield* pieces.end();
}

const unpack = 'Unpack it first.';
const convert = 'Convert it to JSONL first.';
const asUtf8 = 'Save the file as UTF-8.';
/** What files begin with that hold no lines of text as they are, and what to do about each. */
const otherKinds: readonly (readonly [bytes: readonly number[], what: string, hint: string])[] = [
  [[0x1f, 0x8b], 'is compressed with gzip', unpack],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is compressed with Zstandard', unpack],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'is compressed with xz', unpack],
  [[0x42, 0x5a, 0x68], 'is compressed with bzip2', unpack],
  [[0x37, 0x7a, 0xbc, 0xaf], 'is a 7-Zip archive', unpack],
  [[0x50, 0x4b, 0x03, 0x04], 'is a ZIP archive', unpack],
  [[0x50, 0x41, 0x52, 0x31], 'is a Parquet file', convert],
  [[0x41, 0x52, 0x52, 0x4f, 0x57], 'is an Arrow file', convert],
  [[0xff, 0xfe], 'is UTF-16', asUtf8],
  [[0xfe, 0xff], 'is UTF-16', asUtf8],
  [[0x7b, 0x00], 'is UTF-16', asUtf8],
  [[0x00, 0x7b], 'is UTF-16', asUtf8],
];

function refuseOtherKind(path: string, head: Buffer): void {
  const [, what, hint] = otherKinds.find(([bytes]) => bytes.every((byte, i) => head[i] === byte)) ?? [];
  if (what !== undefined && hint !== undefined)
    throw new Problem('data-invalid', `'${path}' ${what}, not lines of JSON in UTF-8.`, hint);
}

async function* chunksOf(path: string, start: number): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 18, start }) as AsyncIterable<Buffer>;
  } catch (error) {
    const { message, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== 'read') throw error;
    throw new Problem('file-unreadable', `'${path}' could not be read: ${message}.`, unansweredHint, { cause: error });
  }
}

/** Collects the bytes of one record across chunks. */
class Pieces {
  readonly #path: string;
  #parts: Buffer[] = [];
  #bytes = 0;
  #inList: boolean;
  #line: number;
  /** Bytes of the file before the chunk that is being split. */
  #before: number;
  /** Line on which the record being collected begins, and the bytes before it. */
  #startLine: number;
  #startAt: number;
  #started = false;
  #tooLong = false;

  constructor(path: string, from: RecordPlace | null) {
    this.#path = path;
    this.#inList = from?.inList ?? false;
    this.#line = this.#startLine = from?.line ?? 1;
    this.#before = this.#startAt = from?.at ?? 0;
  }

  /** What the file is was found out; `skipped` bytes of it are no part of any record. */
  begin(inList: boolean, skipped: number): void {
    this.#inList = inList;
    this.#before = this.#startAt = skipped;
  }

  /** How far the file has been split. */
  get reached(): RecordPlace {
    return { line: this.#line, at: this.#before, inList: this.#inList };
  }

  *splitLines(chunk: Buffer): Generator<RecordOrProblem> {
    let start = this.#passBlankLines(chunk, 0);
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, start)) {
      this.#add(chunk.subarray(start, at));
      yield* this.end();
      this.#line++;
      start = this.#passBlankLines(chunk, at + 1);
    }
    this.#add(chunk.subarray(start));
    this.#before += chunk.length;
  }

  /** Where the next line with something on it begins, from the beginning of a line on; within a line nothing is passed. */
  #passBlankLines(chunk: Buffer, from: number): number {
    if (this.#bytes > 0) return from;
    let start = from;
    for (let at = from; at < chunk.length && isSpace(chunk[at]!); at++)
      if (chunk[at] === newline) {
        this.#line++;
        start = at + 1;
      }
    this.#startLine = this.#line;
    this.#startAt = this.#before + start;
    return start;
  }

  *splitArray(
    chunk: Buffer,
    state: { depth: number; inString: boolean; escaped: boolean; closed: boolean },
  ): Generator<RecordOrProblem> {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === newline) this.#line++;
      if (state.inString) {
        if (state.escaped) state.escaped = false;
        else if (byte === backslash) state.escaped = true;
        else if (byte === quote) state.inString = false;
        continue;
      }
      if (!this.#started && state.depth === 1 && !isSpace(byte)) {
        this.#started = true;
        this.#startLine = this.#line;
        this.#startAt = this.#before + at;
      }
      if (byte === quote) state.inString = true;
      else if (byte === openBracket || byte === openBrace) {
        if (++state.depth === 1) start = at + 1;
      } else if (byte === comma && state.depth === 1) {
        this.#add(chunk.subarray(start, at));
        start = at + 1;
        yield* this.end();
      } else if ((byte === closeBracket || byte === closeBrace) && --state.depth === 0) {
        this.#add(chunk.subarray(start, at));
        start = at + 1;
        state.closed = true;
        yield* this.end();
      }
    }
    this.#add(chunk.subarray(start));
    this.#before += chunk.length;
  }

  /** The record collected so far, if it is not blank. */
  *end(): Generator<RecordOrProblem> {
    const bytes = Buffer.concat(this.#parts);
    const tooLong = this.#tooLong;
    const length = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    this.#tooLong = false;
    this.#started = false;
    if (tooLong) {
      yield this.damaged(`the row has more than ${maxRecordBytes / 1024 / 1024} MB`, 'Split it into several rows.', length);
      return;
    }
    if (bytes.every(isSpace)) return;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      yield this.damaged('the row is not UTF-8', 'Save the file as UTF-8.', length);
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      yield this.damaged(`the row is not JSON (${(error as Error).message})`, oneObject, length);
      return;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      yield this.damaged('the row is not a JSON object', oneObject, length);
    else yield { ...this.#place(length), value: value as Record<string, unknown> };
  }

  damaged(what: string, hint = oneObject, bytes = this.#bytes): RecordOrProblem {
    const line = this.#startLine;
    // No Problem is made for it: there may be a million.
    const message = shown(`${this.#path}, line ${line}: ${what}.`);
    return { ...this.#place(bytes), problem: { code: 'data-invalid', message, hint, line } };
  }

  #place(bytes: number): RecordPlace & { readonly bytes: number } {
    return { line: this.#startLine, at: this.#startAt, inList: this.#inList, bytes };
  }

  #add(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#tooLong) return;
    if (this.#bytes > maxRecordBytes) {
      this.#parts = [];
      this.#tooLong = true;
    } else this.#parts.push(bytes);
  }
}

const oneObject = 'Each row is one JSON object on one line.';
const decoder = new TextDecoder('utf-8', { fatal: true });

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function checkFile(path: string): void {
  const found = existsSync(path) ? statSync(path) : undefined;
  if (found === undefined) throw new Problem('file-missing', `There is no file '${path}'.`, 'Check the path of the data.');
  if (!found.isFile())
    throw new Problem('file-unreadable', `'${path}' is not a file.`, 'Give the JSONL or JSON file with the rows.');
}
