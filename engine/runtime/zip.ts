/** Reads files out of a ZIP archive (PKWARE's APPNOTE 6.3.10), as NuGet packages are. */
import { inflateRawSync } from 'node:zlib';
import { readExactly, withFile } from '../formats/files.ts';
import { Problem } from '../problem.ts';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const endBytes = 22;
/** A ZIP archive ends with a comment of up to 65,535 bytes. */
const longestEnd = endBytes + 0xffff;
/**
 * The limits are far above what the packages read here have. They bound the directory, one unpacked file, and the ratio of its
 * unpacked to its packed size.
 */
const longestDirectory = 16 << 20;
const largestEntry = 2 ** 31;
const largestRatio = 200;

/** Returns the content of one file of the archive. Throws `file-damaged` where the archive lacks it or is damaged. */
export function readZipEntry(path: string, name: string): Buffer {
  return withFile(path, (descriptor, size) => {
    const read = (offset: number, length: number): Buffer => {
      if (offset < 0 || length < 0 || offset + length > size) throw damaged(path);
      return Buffer.from(readExactly(descriptor, path, offset, length).buffer);
    };
    const tail = read(size - Math.min(size, longestEnd), Math.min(size, longestEnd));
    let end = tail.length - endBytes;
    while (end >= 0 && tail.readUInt32LE(end) !== END) end--;
    if (end < 0) throw damaged(path);

    const directoryLength = tail.readUInt32LE(end + 12);
    if (directoryLength > longestDirectory) throw damaged(path);
    const directory = read(tail.readUInt32LE(end + 16), directoryLength);
    for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === CENTRAL;) {
      const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
      if (directory.toString('utf8', at + 46, at + 46 + nameLength!) === name) {
        const [method, packed, unpacked] = [
          directory.readUInt16LE(at + 10),
          directory.readUInt32LE(at + 20),
          directory.readUInt32LE(at + 24),
        ];
        const isPlain = method === 0 && packed === unpacked;
        const isDeflated = method === 8 && unpacked <= largestRatio * packed;
        if (unpacked > largestEntry || !(isPlain || isDeflated)) throw damaged(path);
        const header = directory.readUInt32LE(at + 42);
        const own = read(header, 30);
        const bytes = read(header + 30 + own.readUInt16LE(26) + own.readUInt16LE(28), packed);
        return method === 0 ? bytes : inflated(path, bytes, unpacked);
      }
      at += 46 + nameLength! + extraLength! + commentLength!;
    }
    throw new Problem('file-damaged', `'${path}' has no '${name}' in it.`, 'Fetch it again.');
  });
}

function inflated(path: string, bytes: Buffer, length: number): Buffer {
  try {
    const result = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
    if (result.length === length) return result;
  } catch {
    // Said below.
  }
  throw damaged(path);
}

function damaged(path: string): Problem {
  return new Problem('file-damaged', `'${path}' is no sound archive.`, 'Fetch it again.');
}
