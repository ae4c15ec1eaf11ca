/** What both forms of JSON files share: the bytes of one record, collected across pieces of a file, and the object they are. */
import { shown } from '../../problem.ts';
import { isBlank, piecesOf } from './bytes.ts';
import type { Reading, RecordOrProblem, RecordPlace } from './reader.ts';

/** The most bytes one record may have: more tokens than any context, and a text the tokenizer is through with in seconds. */
export const maxRecordBytes = 4 * 1024 * 1024;

/** Finds records in the pieces of a file, which come in their order. */
export interface Splitter {
  /** Line that the splitter has come to. */
  readonly line: number;
  /** Yields the records that end in `bytes`, which have `before` bytes of the file before them. */
  split(bytes: Buffer, before: number): Iterable<RecordOrProblem>;
  /** Yields what is left at the end of the file. */
  end(): Iterable<RecordOrProblem>;
}

/** Reads a file through a splitter. */
export async function* readSplit(
  path: string,
  { hash, from = null, onNothing = () => {} }: Reading,
  splitter: Splitter,
): AsyncGenerator<RecordOrProblem> {
  for await (const { bytes, at } of piecesOf(path, from?.at ?? 0, hash)) {
    let found = false;
    for (const record of splitter.split(bytes, at)) {
      found = true;
      yield record;
    }
    if (!found) await onNothing({ line: splitter.line, at: at + bytes.length });
  }
  yield* splitter.end();
}

const oneObject = 'Each row is one JSON object on one line.';
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The record that is being collected. */
export class JsonRecord {
  readonly #path: string;
  #parts: Buffer[] = [];
  #bytes = 0;
  #tooLong = false;
  #place: RecordPlace = { line: 1, at: 0 };

  constructor(path: string) {
    this.#path = path;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  begin(place: RecordPlace): void {
    this.#place = place;
  }

  add(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#tooLong) return;
    if (this.#bytes > maxRecordBytes) {
      this.#parts = [];
      this.#tooLong = true;
    } else this.#parts.push(bytes);
  }

  /** Yields the record collected so far, if it is not blank, and is empty again. */
  *end(): Generator<RecordOrProblem> {
    const bytes = Buffer.concat(this.#parts);
    const tooLong = this.#tooLong;
    const length = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    this.#tooLong = false;
    if (tooLong) {
      yield this.damaged(`the row has more than ${maxRecordBytes / 1024 / 1024} MB`, 'Split it into several rows.', length);
      return;
    }
    if (bytes.every(isBlank)) return;
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
    else yield { ...this.#place, bytes: length, value: value as Record<string, unknown> };
  }

  damaged(what: string, hint = oneObject, bytes = this.#bytes): RecordOrProblem {
    const { line } = this.#place;
    // No Problem is made for it: there may be a million.
    const message = shown(`${this.#path}, line ${line}: ${what}.`);
    return { ...this.#place, bytes, problem: { code: 'data-invalid', message, hint, line } };
  }
}
