/** Opens a file of rows as a stream of UTF-8, whatever its compression and encoding. */
import type { Hash } from 'node:crypto';
import { basename } from 'node:path';
import { fileBytes, isBlank, linesIn, type Piece, requireFile } from './bytes.ts';
import { utf16Of, type Utf16 } from './encoding.ts';
import { packedEndings } from '../../data-files.ts';
import { packingOf, unpacked } from './packed.ts';
import { refuseUnread } from './unread.ts';

/** A file with more blanks before its first character is read as lines. */
const longestBlank = 1 << 20;
/** This many bytes are examined to find out how a file is structured. */
const headBytes = 1 << 18;
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

export interface Head extends Piece {
  /** Numbers the line on which it begins, from 1. */
  readonly line: number;
  /** Says whether this is the whole text. */
  readonly isWhole: boolean;
}

export interface Source {
  readonly path: string;
  /** Holds the file's ending in lower case, without that of its compression: `csv` of `rows.CSV.gz`. */
  readonly ending: string;
  /** Lists what is done to the bytes of the file before they are read: `unpacked with gzip`. */
  readonly steps: readonly string[];
  /** Holds the beginning of the text, without a byte order mark and without the blanks before the first character. */
  readonly head: Head;
  /** Returns the number of bytes of the file that have been read, or undefined where places already count these. */
  readonly read: () => number | undefined;
  /** Yields the text from byte `start` on. Every byte of the file is added to `hash`. */
  readonly pieces: (start: number, hash?: Hash) => AsyncGenerator<Piece>;
}

/** Opens a file of rows. Throws a `Problem` where there is none, and where its kind is recognized but not supported. */
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

/** Returns the first bytes, enough for any magic number and byte order mark. */
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
