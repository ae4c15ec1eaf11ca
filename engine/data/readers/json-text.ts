/** Collects the bytes of one record across pieces of a file and parses the object in them, for all forms of JSON files. */
import { parseRow } from '../json-numbers.ts';
import { shown } from '../../problem.ts';
import { isBlank } from './bytes.ts';
import { excerpt, maxRecordBytes, notUtf8, recordProblem } from './record.ts';
import type { RecordOrProblem, RecordPlace } from './reader.ts';
import { repeatedKey } from './repeated-key.ts';

const oneObject = 'Each row is one JSON object on one line.';
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Holds the record that is being collected. */
export class JsonRecord {
  readonly #path: string;
  readonly #hint: string;
  #parts: Buffer[] = [];
  #bytes = 0;
  #tooLong = false;
  #place: RecordPlace = { line: 1, at: 0 };

  /** `hint` says how a row should be written. */
  constructor(path: string, hint = oneObject) {
    this.#path = path;
    this.#hint = hint;
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

  /** Passes over what was collected, and is empty again; returns whether that was a record. */
  pass(): boolean {
    return this.#tooLong ? this.take().length === 0 : !this.take().every(isBlank);
  }

  /** Returns what was collected, and resets itself. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    this.#tooLong = false;
    return bytes;
  }

  /** Yields the record collected so far, unless it is blank, and resets itself. */
  *end(): Generator<RecordOrProblem> {
    const tooLong = this.#tooLong;
    const length = this.#bytes;
    const bytes = this.take();
    if (tooLong) {
      const what = `the row has more than ${maxRecordBytes / 1024 / 1024} MB`;
      yield this.damaged(what, { hint: 'Split it into several rows.', length });
      return;
    }
    if (bytes.every(isBlank)) return;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      const { what, hint } = notUtf8(bytes, this.#place.at);
      yield this.damaged(what, { hint, length, content: bytes });
      return;
    }
    let value: unknown;
    try {
      value = parseJson(text);
    } catch (error) {
      yield this.damaged(`the row is not JSON: ${faultOf(text, error as Error)}`, { length, content: bytes });
      return;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      yield this.damaged(`the row is not a JSON object: ${excerpt(text, 0)}`, { length, content: bytes });
      return;
    }
    const repeated = repeatedKey(text);
    if (repeated !== null) {
      const hint = 'Keep one of the two: of a key that is given twice, programs read only one.';
      yield this.damaged(`an object of the row has the key '${shown(repeated)}' twice`, { hint, length, content: bytes });
    } else yield { ...this.#place, bytes: length, value: value as Record<string, unknown> };
  }

  /** Returns what is wrong with the record; `length` is that of what it has in the file. */
  damaged(
    what: string,
    {
      hint = this.#hint,
      length = this.#bytes,
      content,
    }: { readonly hint?: string; readonly length?: number; readonly content?: Buffer } = {},
  ): RecordOrProblem {
    const place = { ...this.#place, bytes: length };
    return recordProblem(this.#path, place, content === undefined ? { what, hint } : { what, hint, content });
  }
}

/**
 * Matches the numbers that some programs write although JSON does not have them. It also matches texts, which must be skipped.
 */
const noNumber = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;
const mark = '\u0000no number ';

/**
 * Parses the JSON of a row, in which numbers may be `NaN`, `Infinity` or `-Infinity`, as Python writes them. They become JavaScript numbers,
 * which the code that uses the field has to refuse.
 */
export function parseJson(text: string): unknown {
  try {
    return parseRow(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    const marked = text.replace(noNumber, (token) => (token.startsWith('"') ? token : JSON.stringify(mark + token)));
    if (marked === text) throw error;
    try {
      return JSON.parse(marked, (_, value: unknown) =>
        typeof value === 'string' && value.startsWith(mark) ? Number(value.slice(mark.length)) : value,
      );
    } catch {
      // The reported position has to be in the original text.
      throw error;
    }
  }
}

/** Returns a parser's message about a text, with an excerpt. */
function faultOf(text: string, { message }: Error): string {
  const position = /at position (\d+)/.exec(message)?.[1];
  const unexpected = /^Unexpected token '?(.+?)'?, /s.exec(message)?.[1];
  const what = message.replace(/ (in JSON )?at position \d+.*$/s, '').replace(/, (\.\.\.)?".*$/s, '');
  const ended = /^Unexpected end/.test(message) || /^Unterminated/.test(message);
  const at =
    position !== undefined ? Number(position) : ended ? text.length : unexpected === undefined ? 0 : placeOf(text, message);
  return `${what.replace(/^Unexpected end of JSON input$/, 'it ends too early')}, ${ended ? 'after' : 'at'} ${excerpt(text, at)}`;
}

/** Returns the position of a fault from a message that shows the surrounding text but not the position. */
function placeOf(text: string, message: string): number {
  const [, before, around] = /, (\.\.\.)?"(.*?)(?:"\.\.\.)? is not valid JSON$/s.exec(message) ?? [];
  const found = around === undefined ? -1 : text.indexOf(around.replace(/"$/, ''));
  if (found < 0) return 0;
  // The parser shows ten characters before the fault, unless it is near the beginning of the text.
  return before === undefined ? found : found + 10;
}
