/** A file of rows as a stream of UTF-8, whatever it is packed with and however its text is encoded. */
import type { Hash } from 'node:crypto';
import { basename } from 'node:path';
import { fileBytes, isBlank, linesIn, type Piece, requireFile } from './bytes.ts';
import { utf16Of, type Utf16 } from './encoding.ts';
import { packedEndings } from '../../data-files.ts';
import { packingOf, unpacked } from './packed.ts';
import { refuseUnread } from './unread.ts';

/** With more blanks before its first character a file is taken for lines. */
const longestBlank = 1 << 20;
/** As many bytes are looked at to find out how a file is built. */
const headBytes = 1 << 18;
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

export interface Head extends Piece {
  /** The line on which it begins, from 1. */
  readonly line: number;
  /** Whether it is all there is. */
  readonly isWhole: boolean;
}

export interface Source {
  readonly path: string;
  /** The ending of the file in small letters, without the one of what it is packed with: `csv` of `rows.CSV.gz`. */
  readonly ending: string;
  /** What is done to the bytes of the file before they are read: `unpacked with gzip`. */
  readonly steps: readonly string[];
  /** What the text begins with, without a byte order mark and the blanks before the first character. */
  readonly head: Head;
  /** Bytes of the file that have been read, where places count others; undefined where they are places. */
  readonly read: () => number | undefined;
  /** Returns the text from byte `start` on; every byte of the file goes into `hash`. */
  readonly pieces: (start: number, hash?: Hash) => AsyncGenerator<Piece>;
}

/** Opens a file of rows. Throws a Problem where there is none, and where it is of a kind that is known and not read. */
export async function openSource(path: string): Promise<Source> {
  requireFile(path);
  let read: number | undefined;
  const steps: string[] = [];
  let name = basename(path).toLowerCase();
  let stream: Source['pieces'] = (start, hash) => fileBytes(path, start, hash);
  const packing = packingOf(path, await beginningOf(stream));
  if (packing !== null) {
    name = packing.entry?.name.toLowerCase() ?? name.replace(new RegExp(`\\.(${packedEndings.join('|')})$`), '');
    steps.push(
      packing.entry === undefined ? `unpacked with ${packing.name}` : `'${packing.entry.name}' unpacked from a ZIP archive`,
    );
    stream = (start, hash) => unpacked(path, packing, { start, hash, onRead: (bytes) => (read = bytes) });
  }
  const beginning = await beginningOf(stream);
  const encoding: Utf16 | null = utf16Of(beginning);
  if (encoding === null) refuseUnread(path, beginning, packing !== null);
  else {
    const packed = stream;
    steps.push(`decoded from ${encoding.name}`);
    stream = (start, hash) =>
      encoding.decoded(path, packed(0, hash), { start, onRead: packing === null ? (bytes) => (read = bytes) : () => {} });
  }
  const pieces: Source['pieces'] = (start, hash) => withoutMark(stream(start, hash));
  return {
    ...{ path, ending: /\.([^.]+)$/.exec(name)?.[1] ?? '', steps, pieces },
    head: await headOf(pieces),
    read: () => read,
  };
}

/** The first bytes, at least those of any magic number and byte order mark. */
async function beginningOf(stream: Source['pieces']): Promise<Buffer> {
  for await (const { bytes } of stream(0)) if (bytes.length > 0) return bytes.subarray(0, 4096);
  return Buffer.alloc(0);
}

async function* withoutMark(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  for await (const { bytes, at } of pieces) {
    const isMarked = at === 0 && bytes.subarray(0, 3).equals(byteOrderMark);
    yield isMarked ? { bytes: bytes.subarray(3), at: 3 } : { bytes, at };
  }
}

async function headOf(pieces: Source['pieces']): Promise<Head> {
  const parts: Buffer[] = [];
  let length = 0;
  let first = 0;
  let line = 1;
  let isWhole = true;
  for await (const { bytes, at } of pieces(0)) {
    const begins = length > 0 ? 0 : bytes.findIndex((byte) => !isBlank(byte));
    if (length === 0) line += linesIn(begins < 0 ? bytes : bytes.subarray(0, begins));
    if (begins >= 0) {
      if (length === 0) first = at + begins;
      parts.push(bytes.subarray(begins));
      length += bytes.length - begins;
    }
    isWhole = length <= headBytes;
    if (!isWhole || (length === 0 && at + bytes.length >= longestBlank)) break;
  }
  return { bytes: Buffer.concat(parts).subarray(0, headBytes), at: first, line, isWhole };
}
