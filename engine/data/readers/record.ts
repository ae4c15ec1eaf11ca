/** Defines what records of all formats share: how large one may be, and how a problem with one is reported. */
import { shown } from '../../problem.ts';
import type { Source } from './source.ts';
import type { Reading, RecordOrProblem, RecordPlace } from './reader.ts';
import { skippingTo } from './bytes.ts';

/**
 * Limits the size of a record in bytes. This is more tokens than any context has, and the tokenizer still finishes it in
 * seconds.
 */
export const maxRecordBytes = 4 * 1024 * 1024;

/** The problem of a row that cannot be read holds this many characters from the beginning of the row. */
const shownOfRow = 200;
/** This many characters are shown on each side of a fault. */
const shownAround = 40;

/** Finds records in the pieces of a file, which must be given in order. */
export interface Splitter {
  /** Numbers the line that the splitter has reached. */
  readonly line: number;
  /** Yields the records that end in `bytes`, which `before` bytes of the file precede. */
  split(bytes: Buffer, before: number): Iterable<RecordOrProblem>;
  /** Yields what is left at the end of the file. */
  end(): Iterable<RecordOrProblem>;
}

/** Reads a file through a splitter, beginning at `start` where no record is given to continue from. */
export async function* readSplit(
  source: Source,
  { hash, from = null, onNothing = () => {} }: Reading,
  splitter: Splitter,
  start = 0,
): AsyncGenerator<RecordOrProblem> {
  const pieces = from === null ? skippingTo(start, source.pieces(0, hash)) : source.pieces(from.at, hash);
  for await (const { bytes, at } of pieces) {
    let found = false;
    for (const record of splitter.split(bytes, at)) {
      found = true;
      yield record;
    }
    if (!found) await onNothing({ line: splitter.line, at: at + bytes.length });
  }
  yield* splitter.end();
}

/**
 * Returns the problem of a record in its place, with the beginning of `content`, which is what the file has there. It is a plain object
 * rather than a `Problem`, because there may be a million.
 */
export function recordProblem(
  path: string,
  place: RecordPlace & { readonly bytes: number; readonly where?: string },
  { what, hint, content }: { readonly what: string; readonly hint: string; readonly content?: Buffer },
): RecordOrProblem {
  const { line, where } = place;
  const message = shown(`${path}, ${where ?? `line ${line}`}: ${what}.`);
  // A character has up to four bytes, and the last one may be cut.
  const beginning =
    content
      ?.toString('utf8', 0, 4 * shownOfRow)
      .slice(0, shownOfRow)
      .toWellFormed()
      .trim() ?? '';
  const text = beginning === '' ? {} : { text: shown(beginning, shownOfRow) };
  return { ...place, problem: { code: 'data-invalid', message, hint, line, ...text } };
}

/** Says which byte of a record that begins at byte `at` of its file is not UTF-8. */
export function notUtf8(bytes: Buffer, at: number): { readonly what: string; readonly hint: string } {
  const text = bytes.toString('utf8');
  let place = 0;
  for (let i = text.indexOf('\ufffd'); i >= 0; i = text.indexOf('\ufffd', i + 1)) {
    place = Buffer.byteLength(text.slice(0, i));
    // The replacement character itself is valid in a text.
    if (bytes.subarray(place, place + 3).toString('hex') !== 'efbfbd') break;
  }
  const before = bytes.toString('utf8', Math.max(0, place - 20), place).replace(/^\ufffd+/, '');
  const byte = (bytes[place] ?? 0).toString(16).toUpperCase().padStart(2, '0');
  return {
    what: `the row is not UTF-8: byte ${at + place} of the file is 0x${byte}, ${before === '' ? 'at the start of the row' : `after «${shown(before)}»`}`,
    hint: 'Save the file as UTF-8. One of Windows in Western Europe is converted with `iconv -f WINDOWS-1252 -t UTF-8`.',
  };
}

/** Returns an excerpt of a text around a position, in quotes. */
export function excerpt(text: string, at: number): string {
  const from = Math.max(0, at - shownAround);
  const to = Math.min(text.length, at + shownAround);
  const cut = text.slice(from, to).toWellFormed();
  return `«${from > 0 ? '…' : ''}${shown(cut)}${to < text.length ? '…' : ''}»`;
}
