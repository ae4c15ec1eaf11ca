/** The records of a JSONL file or of a JSON array, one at a time, with their line numbers, in bounded memory. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { Problem, shown, type ProblemValue } from '../problem.ts';

export type RecordOrProblem = {
  readonly line: number;
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

/** Reads `path`; every byte also goes into `hash`. */
export async function* readRecords(path: string, hash: Hash = createHash('sha256')): AsyncGenerator<RecordOrProblem> {
  checkFile(path);
  const pieces = new Pieces(path);
  let array: boolean | null = null;
  let head = Buffer.alloc(0);
  const state = { depth: 0, inString: false, escaped: false, closed: false };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    let bytes = chunk;
    if (array === null) {
      head = Buffer.concat([head, chunk]);
      const from = byteOrderMark.every((byte, i) => head[i] === byte) ? 3 : 0;
      const first = head.subarray(from).findIndex((byte) => !isSpace(byte));
      // Blank so far: wait, unless the blank is long already.
      if (first < 0 && head.length < 1 << 20) continue;
      array = first >= 0 && head[from + first] === openBracket;
      bytes = head.subarray(from);
    }
    yield* array ? pieces.splitArray(bytes, state) : pieces.splitLines(bytes);
  }
  if (array === true && !state.closed) {
    yield pieces.damaged('the list that begins the file is never closed');
    return;
  }
  yield* pieces.end();
}

/** Collects the bytes of one record across chunks. */
class Pieces {
  readonly #path: string;
  #parts: Buffer[] = [];
  #bytes = 0;
  #line = 1;
  /** Line on which the record being collected begins. */
  #startLine = 1;
  #started = false;
  #tooLong = false;

  constructor(path: string) {
    this.#path = path;
  }

  *splitLines(chunk: Buffer): Generator<RecordOrProblem> {
    let start = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, start)) {
      this.#add(chunk.subarray(start, at));
      start = at + 1;
      yield* this.end();
      this.#startLine = ++this.#line;
    }
    this.#add(chunk.subarray(start));
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
  }

  /** The record collected so far, if it is not blank. */
  *end(): Generator<RecordOrProblem> {
    const bytes = Buffer.concat(this.#parts);
    const tooLong = this.#tooLong;
    this.#parts = [];
    this.#bytes = 0;
    this.#tooLong = false;
    this.#started = false;
    if (tooLong) {
      yield this.damaged(`the row has more than ${maxRecordBytes / 1024 / 1024} MB`, 'Split it into several rows.');
      return;
    }
    if (bytes.every(isSpace)) return;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      yield this.damaged('the row is not UTF-8', 'Save the file as UTF-8.');
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      yield this.damaged(`the row is not JSON (${(error as Error).message})`);
      return;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) yield this.damaged('the row is not a JSON object');
    else yield { line: this.#startLine, bytes: bytes.length, value: value as Record<string, unknown> };
  }

  damaged(what: string, hint = 'Each row is one JSON object on one line.'): RecordOrProblem {
    const line = this.#startLine;
    // No Problem is made for it: there may be a million.
    const message = shown(`${this.#path}, line ${line}: ${what}.`);
    return { line, bytes: 0, problem: { code: 'data-invalid', message, hint, line } };
  }

  #add(bytes: Buffer): void {
    if (bytes.length === 0 || this.#tooLong) return;
    this.#bytes += bytes.length;
    if (this.#bytes > maxRecordBytes) {
      this.#parts = [];
      this.#tooLong = true;
    } else this.#parts.push(bytes);
  }
}

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
