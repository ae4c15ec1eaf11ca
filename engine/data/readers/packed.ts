/** Unpacks compressed files of rows: gzip, Zstandard, or a ZIP archive with one file of rows in it. */
import type { Hash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createInflateRaw, createZstdDecompress } from 'node:zlib';
import { isDataFile } from '../../data-files.ts';
import { sizeOf } from '../../formats/files.ts';
import { type ZipEntry, zipEntries } from '../../formats/zip.ts';
import { Problem } from '../../problem.ts';
import { fileBytes, type Piece, skippingTo } from './bytes.ts';

export interface Packing {
  readonly name: 'gzip' | 'Zstandard' | 'ZIP';
  /** Describes the file in the archive. */
  readonly entry?: ZipEntry;
}

/**
 * A file that unpacks to more than this many times its size, beyond an initial allowance, is refused as a decompression bomb.
 */
const largestRatio = 200;
const unquestioned = 256 << 20;
const unpackIt = 'Unpack it, and give what it holds.';

const magic: readonly (readonly [name: Packing['name'], bytes: Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['Zstandard', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['ZIP', Buffer.from('PK\x03\x04')],
  ['ZIP', Buffer.from('PK\x05\x06')],
];

/**
 * Returns how a file that begins with `beginning` is packed, or null where it is not. Throws a `Problem` for an archive of
 * several files.
 */
export function packingOf(path: string, beginning: Buffer): Packing | null {
  const [name] = magic.find(([, bytes]) => beginning.subarray(0, bytes.length).equals(bytes)) ?? [];
  if (name === undefined) return null;
  return name === 'ZIP' ? { name, entry: entryOf(path) } : { name };
}

/** Returns the one file of rows in an archive. Files that operating systems add are ignored. */
function entryOf(path: string): ZipEntry {
  const all = zipEntries(path);
  if (all.some(({ name }) => name === '[Content_Types].xml' || name === 'mimetype'))
    throw new Problem('data-invalid', `'${path}' is a document of an office program.`, 'Save the table as CSV in UTF-8 there.');
  const files = all.filter(({ name }) => !/(^|\/)(__MACOSX|\.[^/]*|Thumbs\.db)(\/|$)/.test(name));
  // A file alone may have a name without an ending.
  const isAlone = files.length === 1 && !/\.[^./]+$/.test(files[0]!.name);
  const rows = isAlone ? files : files.filter(({ name }) => isDataFile(name));
  const names = (some: readonly ZipEntry[]) => some.map(({ name }) => `'${name}'`).join(', ');
  const [entry, ...more] = rows;
  if (entry === undefined)
    throw new Problem(
      'data-invalid',
      `'${path}' is a ZIP archive without a file of rows: ${names(files) || 'it is empty'}.`,
      unpackIt,
    );
  if (more.length > 0)
    throw new Problem(
      'data-invalid',
      `'${path}' is a ZIP archive of ${rows.length} files of rows: ${names(rows)}.`,
      'Unpack it, and give those of them that are meant: some may be for evaluation.',
    );
  if (entry.isEncrypted) throw new Problem('data-invalid', `'${path}' is protected with a password.`, unpackIt);
  if (![0, 8, 93].includes(entry.method))
    throw new Problem('data-invalid', `'${path}' is packed with method ${entry.method}, which is not read here.`, unpackIt);
  return entry;
}

/**
 * Unpacks a file from byte `start` of its content on. Places count bytes of the content; `onRead` receives the number of bytes
 * of the file that have been read. Memory does not grow with the unpacked size. Throws a `Problem` where the file is damaged,
 * and where it unpacks to too much.
 */
export async function* unpacked(
  path: string,
  packing: Packing,
  {
    start,
    hash,
    onRead,
  }: { readonly start: number; readonly hash?: Hash | undefined; readonly onRead: (bytes: number) => void },
): AsyncGenerator<Piece> {
  yield* skippingTo(start, unpack(path, packing, hash, onRead));
}

async function* unpack(
  path: string,
  { name, entry }: Packing,
  hash: Hash | undefined,
  onRead: (bytes: number) => void,
): AsyncGenerator<Piece> {
  // The hash covers the whole archive, not only the entry.
  if (entry !== undefined && hash !== undefined) for await (const _ of fileBytes(path, 0, hash));
  const [first, end] = entry === undefined ? [0, Infinity] : [entry.start, entry.start + entry.packed];
  let read = 0;
  async function* packed(): AsyncGenerator<Buffer> {
    for await (const { bytes, at } of fileBytes(path, first, entry === undefined ? hash : undefined, end)) {
      read = at + bytes.length;
      onRead(read);
      yield bytes;
    }
  }
  let at = 0;
  const piece = (bytes: Buffer): Piece => {
    at += bytes.length;
    if (at > unquestioned && at > largestRatio * read)
      throw new Problem(
        'data-invalid',
        `'${path}' unpacks to more than ${largestRatio} times its size: ${at} bytes from the first ${read}.`,
        'Such a file is made to fill memory or disk. If it is what you mean, unpack it and give what it holds.',
      );
    return { bytes, at: at - bytes.length };
  };
  if (entry?.method === 0) {
    for await (const bytes of packed()) yield piece(bytes);
    return;
  }
  const unpacker = name === 'gzip' ? createGunzip() : entry?.method === 8 ? createInflateRaw() : createZstdDecompress();
  try {
    for await (const bytes of pipeline(
      Readable.from(packed(), { objectMode: false }),
      unpacker,
      () => {},
    ) as AsyncIterable<Buffer>)
      yield piece(bytes);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (cause instanceof Problem || !/^(Z_|ZSTD_|ERR_ZLIB|ERR_ZSTD)/.test(code ?? '')) throw cause;
    throw new Problem(
      'file-damaged',
      `'${path}' could not be unpacked beyond byte ${read}, after ${at} bytes of what it holds: ${message}.`,
      'It is cut off or damaged: copy or download it again.',
      { cause },
    );
  }
  // The hash also covers bytes after the packed content.
  if (entry === undefined && hash !== undefined && read < sizeOf(path)) for await (const _ of fileBytes(path, read, hash));
}
