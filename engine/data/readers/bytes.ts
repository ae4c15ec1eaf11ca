/** The bytes of a file of rows in pieces, and the first of them, by which its reader is found. */
import type { Hash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { Problem, unansweredHint } from '../../problem.ts';

/** A piece of a file and the bytes of the file before it. */
export interface Piece {
  readonly bytes: Buffer;
  readonly at: number;
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);
/** With more blanks before its first character a file is taken for lines. */
const longestBlank = 1 << 20;

/** Yields a file from byte `start` on, without the byte order mark; every byte that is read goes into `hash`. */
export async function* piecesOf(path: string, start: number, hash?: Hash): AsyncGenerator<Piece> {
  let at = start;
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 18, start }) as AsyncIterable<Buffer>) {
      hash?.update(bytes);
      const isMarked = at === 0 && bytes.subarray(0, 3).equals(byteOrderMark);
      yield isMarked ? { bytes: bytes.subarray(3), at: 3 } : { bytes, at };
      at += bytes.length;
    }
  } catch (error) {
    const { message, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== 'read') throw error;
    throw new Problem('file-unreadable', `'${path}' could not be read: ${message}.`, unansweredHint, { cause: error });
  }
}

/** Returns what a file begins with, blanks left out. Throws a Problem where there is no file. */
export async function headOf(path: string): Promise<Buffer> {
  const found = existsSync(path) ? statSync(path) : undefined;
  if (found === undefined) throw new Problem('file-missing', `There is no file '${path}'.`, 'Check the path of the data.');
  if (!found.isFile()) throw new Problem('file-unreadable', `'${path}' is not a file.`, 'Give the file with the rows.');
  for await (const { bytes, at } of piecesOf(path, 0)) {
    const first = bytes.findIndex((byte) => !isBlank(byte));
    if (first >= 0) return bytes.subarray(first);
    if (at + bytes.length >= longestBlank) break;
  }
  return Buffer.alloc(0);
}

/** Whether a byte is white space. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
