/** Reads ZIP archives (PKWARE's APPNOTE 6.3.10), which are NuGet packages and packed files of rows. */
import { inflateRawSync } from 'node:zlib';
import { readExactly, withFile } from './files.ts';
import { Problem } from '../problem.ts';

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const endBytes = 22;
const locatorBytes = 20;
/** A ZIP archive ends with a comment of up to 65,535 bytes. */
const longestEnd = endBytes + 0xffff + locatorBytes;
/** Marks a field of four bytes whose value is in the extra field of eight bytes instead. */
const elsewhere = 0xffffffff;
/**
 * The limits are far above what the archives read here have. They bound the directory, one file that is unpacked at once, and the
 * ratio of its unpacked to its packed size.
 */
const longestDirectory = 16 << 20;
const largestEntry = 2 ** 31;
const largestRatio = 200;

/** Describes a file in an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Is 0 for stored, 8 for deflated, and 93 for Zstandard. */
  readonly method: number;
  readonly isEncrypted: boolean;
  /** Gives the bytes of its packed content, and of what they are unpacked. */
  readonly packed: number;
  readonly unpacked: number;
  /** Gives the byte of the archive at which its packed content begins. */
  readonly start: number;
}

type Read = (offset: number, length: number) => Buffer;

/** Returns the content of one file of the archive. Throws `file-damaged` where the archive lacks it or is damaged. */
export function readZipEntry(path: string, name: string): Buffer {
  return withFile(path, (descriptor, size) => {
    const read = reader(path, descriptor, size);
    for (const { entry, header } of directoryOf(path, read, size)) {
      if (entry.name !== name) continue;
      const { method, packed, unpacked } = entry;
      const isPlain = method === 0 && packed === unpacked;
      const isDeflated = method === 8 && unpacked <= largestRatio * packed;
      if (unpacked > largestEntry || !(isPlain || isDeflated)) throw damaged(path);
      const bytes = read(contentOf(path, read, header), packed);
      return method === 0 ? bytes : inflated(path, bytes, unpacked);
    }
    throw new Problem('file-damaged', `'${path}' has no '${name}' in it.`, 'Fetch it again.');
  });
}

/** Returns the files of an archive, folders left out. Throws `file-damaged` where its directory is damaged. */
export function zipEntries(path: string): ZipEntry[] {
  return withFile(path, (descriptor, size) => {
    const read = reader(path, descriptor, size);
    return [...directoryOf(path, read, size)]
      .filter(({ entry }) => !entry.name.endsWith('/'))
      .map(({ entry, header }) => ({ ...entry, start: contentOf(path, read, header) }));
  });
}

function reader(path: string, descriptor: number, size: number): Read {
  return (offset, length) => {
    if (offset < 0 || length < 0 || offset + length > size) throw damaged(path);
    return Buffer.from(readExactly(descriptor, path, offset, length).buffer);
  };
}

function* directoryOf(path: string, read: Read, size: number): Generator<{ entry: Omit<ZipEntry, 'start'>; header: number }> {
  const { start, length } = directoryPlace(path, read, size);
  if (length > longestDirectory) throw damaged(path);
  const directory = read(start, length);
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === CENTRAL;) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
    const next = at + 46 + nameLength! + extraLength! + commentLength!;
    if (next > directory.length) throw damaged(path);
    const extra = directory.subarray(at + 46 + nameLength!, at + 46 + nameLength! + extraLength!);
    const [unpacked, packed, header] = wide(
      path,
      [24, 20, 42].map((field) => directory.readUInt32LE(at + field)),
      extra,
    );
    yield {
      entry: {
        name: directory.toString('utf8', at + 46, at + 46 + nameLength!),
        method: directory.readUInt16LE(at + 10),
        isEncrypted: (directory.readUInt16LE(at + 8) & 1) === 1,
        ...{ packed: packed!, unpacked: unpacked! },
      },
      header: header!,
    };
    at = next;
  }
}

function directoryPlace(path: string, read: Read, size: number): { readonly start: number; readonly length: number } {
  const tailStart = size - Math.min(size, longestEnd);
  const tail = read(tailStart, size - tailStart);
  let end = tail.length - endBytes;
  while (end >= 0 && tail.readUInt32LE(end) !== END) end--;
  if (end < 0) throw damaged(path);
  const locator = end - locatorBytes;
  if (locator >= 0 && tail.readUInt32LE(locator) === LOCATOR_64) {
    const wideEnd = read(Number(tail.readBigUInt64LE(locator + 8)), 56);
    if (wideEnd.readUInt32LE(0) !== END_64) throw damaged(path);
    return { length: Number(wideEnd.readBigUInt64LE(40)), start: Number(wideEnd.readBigUInt64LE(48)) };
  }
  return { length: tail.readUInt32LE(end + 12), start: tail.readUInt32LE(end + 16) };
}

/** Returns the sizes and the place of an entry, taking those of eight bytes from its extra field. */
function wide(path: string, fields: readonly number[], extra: Buffer): number[] {
  if (!fields.includes(elsewhere)) return [...fields];
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let from = at + 4;
    return fields.map((field) => {
      if (field !== elsewhere) return field;
      if (from + 8 > extra.length) throw damaged(path);
      from += 8;
      return Number(extra.readBigUInt64LE(from - 8));
    });
  }
  return [...fields];
}

/** Returns where the content begins whose own header is at byte `header`. */
function contentOf(path: string, read: Read, header: number): number {
  const own = read(header, 30);
  if (own.readUInt32LE(0) !== LOCAL) throw damaged(path);
  return header + 30 + own.readUInt16LE(26) + own.readUInt16LE(28);
}

function inflated(path: string, bytes: Buffer, length: number): Buffer {
  try {
    const result = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
    if (result.length === length) return result;
  } catch {
    // The failure is reported below.
  }
  throw damaged(path);
}

function damaged(path: string): Problem {
  return new Problem('file-damaged', `'${path}' is no sound archive.`, 'Fetch it again.');
}
