/** SHA-256 over the weight files of a model, read once: 1 GB takes more than a second. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { fileStamp, makeFolder, writeFileAtomic } from '../formats/files.ts';

/** Known to this process, by paths, sizes and times. */
const known = new Map<string, string>();

/** With a cache it is known to later processes too, as long as paths, sizes and times of the files are the same. */
export function hashOfFiles(files: readonly string[], cacheDir?: string): string {
  const key = JSON.stringify(files.map((path) => [path, fileStamp(path)]));
  const cached = cacheDir === undefined ? null : join(cacheDir, 'hashes', createHash('sha256').update(key).digest('hex'));
  const held = cached === null ? null : readHash(cached);
  const value = known.get(key) ?? held ?? hashBytes(files);
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

function hashBytes(files: readonly string[]): string {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(1 << 22);
  for (const path of files) {
    const descriptor = openSync(path, 'r');
    try {
      for (let count = readSync(descriptor, chunk); count > 0; count = readSync(descriptor, chunk))
        hash.update(chunk.subarray(0, count));
    } finally {
      closeSync(descriptor);
    }
  }
  return hash.digest('hex');
}
