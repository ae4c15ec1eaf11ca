/** Reads the bytes of a file of rows in pieces. */
import type { Hash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { Problem, unansweredHint } from '../../problem.ts';

/** Holds a piece of a file, and the number of bytes before it. */
export interface Piece {
  readonly bytes: Buffer;
  readonly at: number;
}

/** Reads a file from byte `start` to byte `end`. Every byte that is read is added to `hash`. */
export async function* fileBytes(path: string, start: number, hash?: Hash, end = Infinity): AsyncGenerator<Piece> {
  if (start >= end) return;
  let at = start;
  try {
    const range = end === Infinity ? { start } : { start, end: end - 1 };
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 18, ...range }) as AsyncIterable<Buffer>) {
      hash?.update(bytes);
      yield { bytes, at };
      at += bytes.length;
    }
  } catch (error) {
    const { message, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== 'read') throw error;
    throw new Problem('file-unreadable', `'${path}' could not be read: ${message}.`, unansweredHint, { cause: error });
  }
}

/** Throws a `Problem` where there is no file to read. */
export function requireFile(path: string): void {
  const found = existsSync(path) ? statSync(path) : undefined;
  if (found === undefined) throw new Problem('file-missing', `There is no file '${path}'.`, 'Check the path of the data.');
  if (!found.isFile()) throw new Problem('file-unreadable', `'${path}' is not a file.`, 'Give the file with the rows.');
}

/** Yields pieces without what comes before byte `start`. */
export async function* skippingTo(start: number, pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    const skipped = Math.max(0, start - piece.at);
    if (skipped === 0) yield piece;
    else if (skipped < piece.bytes.length) yield { bytes: piece.bytes.subarray(skipped), at: start };
    // This reports progress while gigabytes are skipped.
    else yield { bytes: piece.bytes.subarray(piece.bytes.length), at: start };
  }
}

/** Returns whether a byte is white space. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

const newline = 0x0a;

/** Returns how many lines end in `bytes`. */
export function linesIn(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) lines++;
  return lines;
}
