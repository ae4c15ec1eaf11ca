/** Publishes folders: a folder exists under its final name only when it is complete. */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Problem } from '../problem.ts';
import { extensible, makeFolder, syncFolder } from './files.ts';

/** Gives the prefix of unfinished folders. Whoever finds a folder with it may remove it. */
export const partialPrefix = '.partial-';

/**
 * Creates the folder `path` with what `write` puts into the folder it is given, which is a temporary one beside `path`. It is
 * renamed when everything is written and flushed, so that a crash at any moment leaves either the old state or the new one.
 * `write` must flush its files (as `AtomicFile` does). Throws a `Problem` where nothing can be written.
 */
export function publishFolder(path: string, write: (folder: string) => void): void {
  const parent = dirname(path);
  const beside = join(parent, `${partialPrefix}${extensible(basename(path))}-${process.pid}`);
  try {
    makeFolder(parent);
    rmSync(beside, { recursive: true, force: true });
    mkdirSync(beside);
    write(beside);
    syncFolder(beside);
    // A folder cannot be renamed over one that is not empty, so the old one is moved aside first.
    const old = `${beside}-old`;
    const replaces = existsSync(path);
    if (replaces) renameSync(path, old);
    renameSync(beside, path);
    syncFolder(parent);
    if (replaces) rmSync(old, { recursive: true, force: true });
  } catch (cause) {
    rmSync(beside, { recursive: true, force: true });
    throw toWriteProblem(path, cause);
  }
}

/** Turns a system error of writing into a Problem that names the folder; any other error is returned as it is. */
export function toWriteProblem(path: string, cause: unknown): unknown {
  switch ((cause as NodeJS.ErrnoException | null)?.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new Problem(
        'disk-full',
        `There is no space left to write '${path}'.`,
        'Free some space and try again; nothing half-written was kept.',
        { cause },
      );
    case 'ENAMETOOLONG':
      return new Problem('folder-unwritable', `'${path}' is a name too long for this disk.`, 'Choose a shorter one.', {
        cause,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EEXIST':
    case 'ENOENT':
      return new Problem('folder-unwritable', `'${path}' cannot be written.`, 'Choose a folder you may write to.', { cause });
    default:
      return cause;
  }
}
