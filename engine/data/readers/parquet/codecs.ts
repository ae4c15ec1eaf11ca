/** What pages of Parquet are packed with. */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { requireSound, Unread } from './damage.ts';

/** Unpacks the bytes of a page; `length` is what they are to become, and never more is allocated. */
type Unpack = (bytes: Buffer, length: number) => Buffer;

const codecs: readonly (readonly [name: string, unpack: Unpack | null])[] = [
  ['nothing', (bytes) => bytes],
  ['Snappy', unsnap],
  ['gzip', (bytes, length) => gunzipSync(bytes, { maxOutputLength: Math.max(1, length) })],
  ['LZO', null],
  ['Brotli', (bytes, length) => brotliDecompressSync(bytes, { maxOutputLength: Math.max(1, length) })],
  ['LZ4 of Hadoop', unpackHadoop],
  ['Zstandard', (bytes, length) => zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) })],
  ['LZ4', unpackLz4],
];

/** Unpacks a page by the number of its codec. Throws where it does not become `length` bytes. */
export function unpackPage(codec: number, bytes: Buffer, length: number): Buffer {
  const [name, unpack] = codecs[codec] ?? [`an unknown method (${codec})`, null];
  if (unpack === null)
    throw new Unread(`it is packed with ${name}, which is not read here`, "Write it with compression='zstd' or 'snappy'.");
  if (length === 0) return Buffer.alloc(0);
  let unpacked: Buffer | null = null;
  try {
    unpacked = unpack(bytes, length);
  } catch {
    // Said below.
  }
  requireSound(unpacked?.length === length, `a page cannot be unpacked with ${name}`);
  return unpacked!;
}

/** Snappy's block format: a length, then texts and copies of what was before. */
function unsnap(bytes: Buffer, length: number): Buffer {
  const out = Buffer.alloc(length);
  let at = 0;
  // The length, which the header of the page says, too.
  while (bytes[at++]! >= 128);
  let done = 0;
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      let size = tag >> 2;
      if (size >= 60) {
        const wide = size - 59;
        size = bytes.readUIntLE(at, wide);
        at += wide;
      }
      done = append(out, done, bytes, at, ++size);
      at += size;
    } else if (kind === 1) {
      done = repeat(out, done, ((tag >> 5) << 8) | bytes[at++]!, ((tag >> 2) & 7) + 4);
    } else if (kind === 2) {
      done = repeat(out, done, bytes[at]! | (bytes[at + 1]! << 8), (tag >> 2) + 1);
      at += 2;
    } else {
      done = repeat(out, done, bytes.readUInt32LE(at), (tag >> 2) + 1);
      at += 4;
    }
  }
  return out.subarray(0, done);
}

/** LZ4's block format. */
function unpackLz4(bytes: Buffer, length: number): Buffer {
  const out = Buffer.alloc(length);
  let at = 0;
  let done = 0;
  const more = (size: number): number => {
    if (size !== 15) return size;
    let total = size;
    for (let byte = 255; byte === 255; total += byte) {
      requireSound(at < bytes.length, '');
      byte = bytes[at++]!;
    }
    return total;
  };
  while (at < bytes.length) {
    const token = bytes[at++]!;
    const size = more(token >> 4);
    done = append(out, done, bytes, at, size);
    at += size;
    if (at >= bytes.length) break;
    const distance = bytes.readUInt16LE(at);
    at += 2;
    done = repeat(out, done, distance, more(token & 15) + 4);
  }
  return out.subarray(0, done);
}

/** Blocks of LZ4, each after its two lengths; some programs leave those away. */
function unpackHadoop(bytes: Buffer, length: number): Buffer {
  const parts: Buffer[] = [];
  let done = 0;
  try {
    for (let at = 0; at < bytes.length;) {
      const [unpacked, packed] = [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)];
      requireSound(done + unpacked <= length && at + 8 + packed <= bytes.length, '');
      const part = unpackLz4(bytes.subarray(at + 8, at + 8 + packed), unpacked);
      requireSound(part.length === unpacked, '');
      parts.push(part);
      done += unpacked;
      at += 8 + packed;
    }
    return Buffer.concat(parts);
  } catch {
    return unpackLz4(bytes, length);
  }
}

/** Fewer bytes are copied one by one: a call that copies them takes longer. */
const manyBytes = 64;

/** Writes `size` bytes of `bytes` from `at` on. Returns how many are done. */
function append(out: Buffer, done: number, bytes: Buffer, at: number, size: number): number {
  requireSound(at + size <= bytes.length && done + size <= out.length, '');
  if (size > manyBytes) bytes.copy(out, done, at, at + size);
  else for (let i = 0; i < size; i++) out[done + i] = bytes[at + i]!;
  return done + size;
}

/** Writes `size` bytes that stand `distance` bytes before; they may overlap with what is written. Returns how many are done. */
function repeat(out: Buffer, done: number, distance: number, size: number): number {
  requireSound(distance > 0 && distance <= done && done + size <= out.length, '');
  if (size > manyBytes && distance >= size) out.copyWithin(done, done - distance, done - distance + size);
  else for (let i = done, end = done + size; i < end; i++) out[i] = out[i - distance]!;
  return done + size;
}
