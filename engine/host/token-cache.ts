/** Limits the size of what the jobs of a data folder keep of rows, and removes what has been unused longest first. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { keptRowsFolder, mostKeptBytes } from '../data/kept-rows.ts';
import { isRunning } from '../formats/files.ts';

const millisecondsBetweenLooks = 60_000;

/** Returns the bytes that kept tokens take in a cache. */
export function tokenCacheBytes(cacheDir: string): number {
  return keptFiles(cacheDir).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Looks after the kept tokens for as long as a host runs. */
export class TokenCacheKeeper {
  readonly #cacheDir: string;
  readonly #timer: NodeJS.Timeout;

  constructor(cacheDir: string) {
    this.#cacheDir = cacheDir;
    this.look();
    this.#timer = setInterval(() => this.look(), millisecondsBetweenLooks).unref();
  }

  /**
   * Removes what killed jobs left half written. Then removes the files that were used longest ago until the others take no more
   * than `most` bytes.
   */
  look(most = mostKeptBytes): void {
    const files = keptFiles(this.#cacheDir).toSorted((a, b) => b.lastUse - a.lastUse);
    let taken = 0;
    for (const { path, bytes, writer } of files) {
      if (writer !== null && isRunning(writer)) continue;
      taken += bytes;
      if (writer !== null || taken > most) remove(path);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

interface KeptFile {
  readonly path: string;
  readonly bytes: number;
  readonly lastUse: number;
  /** Gives the id of the process that writes or wrote the file, if it is half written, or null otherwise. */
  readonly writer: number | null;
}

function keptFiles(cacheDir: string): KeptFile[] {
  const folder = keptRowsFolder(cacheDir);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    // Nothing was kept yet.
    return [];
  }
  return names.flatMap((name) => {
    const path = join(folder, name);
    // A job may just have removed it.
    const stats = statSync(path, { throwIfNoEntry: false });
    const writer = /\.partial-(\d+)-/.exec(name)?.[1];
    return stats?.isFile() !== true
      ? []
      : [{ path, bytes: stats.size, lastUse: stats.mtimeMs, writer: writer === undefined ? null : Number(writer) }];
  });
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // A job reads it, and the system refuses to remove it; the next pass will.
  }
}
