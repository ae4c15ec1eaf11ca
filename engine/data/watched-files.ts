/** Notices that files of rows change while somebody looks at their rows. */
import { createHash } from 'node:crypto';
import type { DataAt, ReadFiles } from '../contract.ts';
import { fileStamp, hashFile, stampOf } from '../formats/files.ts';

/** Remembers the files that rows were read from, so that a file is hashed again only after it was written. */
export class WatchedFiles {
  /** Holds the stamp of each file when it was last looked at, and its SHA-256 where that is known. */
  readonly #known = new Map<string, { readonly stamp: string | null; readonly sha256: string | null }>();

  /** Takes the SHA-256 of files that were just read. */
  learn(paths: readonly string[], hashes: readonly string[]): void {
    for (const [i, path] of paths.entries()) this.#known.set(path, { stamp: fileStamp(path), sha256: hashes[i]! });
  }

  /** Returns the state of the files. A file that was written since it was first seen is compared with the version by its hash. */
  async now({ paths, evalPaths = [], hashes: wanted = {} }: DataAt): Promise<ReadFiles> {
    const files = [...new Set([...paths, ...evalPaths])];
    const changed: string[] = [];
    for (const path of files) {
      if (wanted[path] === undefined) continue;
      const stamp = fileStamp(path);
      const seen = this.#known.get(path) ?? { stamp, sha256: null };
      // Whoever reads a file that is gone says so.
      if (stamp === null) continue;
      const known = seen.stamp === stamp ? seen : { stamp, sha256: await hashFile(path) };
      this.#known.set(path, known);
      if (known.sha256 !== null && known.sha256 !== wanted[path]) changed.push(path);
    }
    const stamp = createHash('sha256').update(stampOf(files)).digest('hex').slice(0, 16);
    return { stamp, changed };
  }
}
