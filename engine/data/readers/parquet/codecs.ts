/** Decompresses pages of Parquet. */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { requireSound, Unread } from './damage.ts';

/** Decompresses the bytes of a page. `length` is the expected size, and no more is ever allocated. */
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

/** Decompresses a page by the number of its codec. Throws where the result does not have `length` bytes. */
export function unpackPage(codec: number, bytes: Buffer, length: number): Buffer {
  const [name, unpack] = codecs[codec] ?? [`an unknown method (${codec})`, null];
  if (unpack === null)
    throw new Unread(`it is packed with ${name}, which is not read here`, "Write it with compression='zstd' or 'snappy'.");
  if (length === 0) return Buffer.alloc(0);
  let unpacked: Buffer | null = null;
  try {
    unpacked = unpack(bytes, length);
  } catch {
    // The failure is reported below.
  }
  requireSound(unpacked?.length === length, `a page cannot be unpacked with ${name}`);
  return unpacked!;
}

/** Decompresses Snappy's block format: a length, then literals and copies of earlier bytes. */
function unsnap(bytes: Buffer, length: number): Buffer {
  const out = Buffer.alloc(length);
  let at = 0;
  // The length is skipped, because the header of the page states it too.
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

/** Decompresses LZ4's block format. */
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

/** Decompresses blocks of LZ4, each after its two lengths, which some programs omit. */
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

/** Fewer bytes are copied one by one, because a call to copy them takes longer. */
const manyBytes = 64;

/** Writes `size` bytes of `bytes` from `at` on. Returns how many bytes are written in all. */
function append(out: Buffer, done: number, bytes: Buffer, at: number, size: number): number {
  requireSound(at + size <= bytes.length && done + size <= out.length, '');
  if (size > manyBytes) bytes.copy(out, done, at, at + size);
  else for (let i = 0; i < size; i++) out[done + i] = bytes[at + i]!;
  return done + size;
}

/**
 * Repeats `size` bytes from `distance` bytes before the end. They may overlap with what is written. Returns how many bytes are
 * written in all.
 */
function repeat(out: Buffer, done: number, distance: number, size: number): number {
  requireSound(distance > 0 && distance <= done && done + size <= out.length, '');
  if (size > manyBytes && distance >= size) out.copyWithin(done, done - distance, done - distance + size);
  else for (let i = done, end = done + size; i < end; i++) out[i] = out[i - distance]!;
  return done + size;
}
