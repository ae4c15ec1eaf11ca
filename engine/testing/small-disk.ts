/** Mounts a small file system in memory, which can really be full. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';

/** Mounts one at a new folder. Returns false, and prints the reason, where this system does not let us. */
export function mountSmallDisk(path: string, megabytes: number): boolean {
  mkdirSync(path);
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path], {
    encoding: 'utf8',
  });
  if (status !== 0) console.log(`Skipped: no small file system can be mounted here (${stderr?.trim() || 'no mount'}).`);
  return status === 0;
}

/** Unmounts the disk. Returns false while somebody still uses it. */
export function unmountSmallDisk(path: string): boolean {
  return spawnSync('umount', [path]).status === 0;
}

/** Writes a file until nothing more can be written. */
export function fillDisk(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let bytes = 1 << 20; bytes >= 1; bytes >>= 2)
      try {
        for (;;) writeSync(file, Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
  } finally {
    closeSync(file);
  }
}
