/** Computes the SHA-256 over the weight files of a model, and remembers it, because 1 GB takes more than a second. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { fileStamp, makeFolder, writeFileAtomic } from '../formats/files.ts';

const bytesBetweenReports = 1 << 28;

/** Holds the hashes known to this process, by paths, sizes and times of the files. */
const known = new Map<string, string>();

/**
 * Returns the hash of files, which is computed once as long as their paths, sizes and times stay the same; with `cacheDir`
 * later processes know it too. `onRead` is called now and then with the number of bytes read.
 */
export function hashOfFiles(files: readonly string[], cacheDir?: string, onRead: (bytes: number) => void = () => {}): string {
  const key = JSON.stringify(files.map((path) => [path, fileStamp(path)]));
  const cached = cacheDir === undefined ? null : join(cacheDir, 'hashes', createHash('sha256').update(key).digest('hex'));
  const held = cached === null ? null : readHash(cached);
  const value = known.get(key) ?? held ?? hashBytes(files, onRead);
  known.set(key, value);
  if (cached !== null && held === null) {
    makeFolder(join(cacheDir!, 'hashes'));
    writeFileAtomic(cached, value);
  }
  return value;
}

function readHash(path: string): string | null {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return /^[0-9a-f]{64}$/.test(text) ? text : null;
}

/** Reads the files and hashes their bytes, even if their hash is known; `onRead` as above. */
export function hashBytes(files: readonly string[], onRead: (bytes: number) => void = () => {}): string {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(1 << 22);
  let bytes = 0;
  let told = 0;
  for (const path of files) {
    const descriptor = openSync(path, 'r');
    try {
      for (let count = readSync(descriptor, chunk); count > 0; count = readSync(descriptor, chunk)) {
        hash.update(chunk.subarray(0, count));
        bytes += count;
        if (bytes - told < bytesBetweenReports) continue;
        told = bytes;
        onRead(bytes);
      }
    } finally {
      closeSync(descriptor);
    }
  }
  return hash.digest('hex');
}
