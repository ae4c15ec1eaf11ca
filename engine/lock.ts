/**
 * Locks a folder: a data folder has one host at a time, the folder of a run one job. The lock names the process by id and start
 * time, so a stale lock is recognized, and the folder, so that a copy of the folder is free; anything else in its place is moved
 * away. Windows does not tell us start times, so a named pipe is the lock there: the system releases it when its process ends,
 * however that happens.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, lstatSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { isRunning } from './formats/files.ts';
import { processStatus } from './processes.ts';

const longestLock = 4096;

export interface ProcessIdentity {
  readonly pid: number;
  /** Says when it started, as the system writes it, or is null when the system cannot be asked. */
  readonly started: string | null;
  /**
   * Gives the id of the start of the machine, from which `started` counts. It is left out when the system has none, and in
   * locks of earlier versions.
   */
  readonly boot?: string;
}

/** Identifies the folder that a lock was made in. */
interface LockedFolder {
  /** Gives its path, links resolved. */
  readonly path: string;
  /** Gives its device and inode. A folder keeps them when it is moved; a copy has others. */
  readonly id: string;
}

/** Describes who holds a lock. */
export interface LockHolder extends ProcessIdentity {
  /** Identifies the process that the holder works for. It is left out when there is none. */
  readonly host?: ProcessIdentity;
  /** Names the locked folder. Locks of earlier versions do not have it. */
  readonly folder?: LockedFolder;
}

/** Returns the identity of a living process, or null when there is none with that id. */
export function processIdentity(pid: number): ProcessIdentity | null {
  if (!isRunning(pid)) return null;
  const boot = bootId();
  return { pid, started: startTime(pid), ...(boot === null ? {} : { boot }) };
}

function bootId(): string | null {
  try {
    return process.platform === 'linux' ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() : null;
  } catch {
    return null;
  }
}

function startTime(pid: number): string | null {
  const status = processStatus(pid);
  return status?.state === 'ended' ? 'ended' : (status?.started ?? null);
}

/** Returns whether this very process still lives, rather than another one with its id. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = processIdentity(identity.pid);
  if (now === null || (identity.boot ?? now.boot) !== now.boot) return false;
  return now.started === null || now.started === identity.started;
}

/**
 * Takes the lock, and returns false when another living process holds it. `pipe` names the pipe that is the lock on Windows,
 * `host` the process that this one works for.
 */
export async function takeLock(path: string, pipe: string, host: ProcessIdentity | null = null): Promise<boolean> {
  const content = JSON.stringify({
    ...processIdentity(process.pid)!,
    ...(host === null ? {} : { host }),
    folder: folderOf(path),
  } satisfies LockHolder);
  if (process.platform !== 'win32') return takeFile(path, content);
  if (!(await holdName(pipe))) return false;
  // People may look for the process here; the program does not read it.
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, content, { mode: 0o600 });
  return true;
}

function folderOf(lock: string): LockedFolder {
  const path = realpathSync(dirname(lock));
  const { dev, ino } = statSync(path, { bigint: true });
  return { path, id: `${dev}:${ino}` };
}

/**
 * Takes a name of the system that only one process can have, and keeps it until this process ends. Returns false when another
 * process has it.
 */
export function holdName(name: string): Promise<boolean> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? done(false) : fail(error)));
    server.listen(name, () => {
      server.unref();
      done(true);
    });
  });
}

function takeFile(path: string, content: string): boolean {
  const own = `${path}.${randomUUID()}`;
  writeFileSync(own, content, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      if (place(own, path, content)) return true;
      const held = readLock(path);
      if (holderIn(path, held) !== null) return false;
      removeStale(path, held);
    }
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Puts a lock in place. Returns false when something is there already. */
function place(own: string, path: string, content: string): boolean {
  try {
    // A link appears with its whole content or not at all, and never over an existing file.
    linkSync(own, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code ?? '')) throw error;
  }
  try {
    // File systems of memory cards know no links.
    writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a stale lock away. Two hosts may do so at once, so the lock that was moved is checked again. */
function removeStale(path: string, stale: string): void {
  const away = `${path}.${randomUUID()}`;
  try {
    renameSync(path, away);
  } catch (error) {
    // Another starter has moved it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (readLock(away) !== stale) {
    try {
      linkSync(away, path);
    } catch {
      // A third one was faster; the process that holds the lock now will answer.
    }
  }
  rmSync(away, { recursive: true, force: true });
}

/** Returns the living process that holds a lock, or null. */
export const lockHolder = (path: string): LockHolder | null => holderIn(path, readLock(path));

function holderIn(path: string, text: string): LockHolder | null {
  const holder = parseHolder(text);
  return holder !== null && isAlive(holder) && !isCopied(holder, path) ? holder : null;
}

/**
 * Returns whether a lock came with a copy of its folder. Some file systems renumber folders, so its number alone is not enough.
 */
function isCopied({ folder }: LockHolder, lock: string): boolean {
  if (folder === undefined) return false;
  const here = folderOf(lock);
  return folder.path !== here.path && folder.id !== here.id;
}

/** Returns whether the lock belongs to this process. */
export function holdsLock(path: string): boolean {
  return parseHolder(readLock(path))?.pid === process.pid;
}

export function releaseLock(path: string): void {
  if (holdsLock(path)) rmSync(path, { force: true });
}

/** Reads the content of a lock; returns an empty text when it is not a file that the studio has written. */
function readLock(path: string): string {
  try {
    const status = lstatSync(path);
    return status.isFile() && status.size <= longestLock ? readFileSync(path, 'utf8') : '';
  } catch {
    return '';
  }
}

function parseHolder(text: string): LockHolder | null {
  try {
    const value = JSON.parse(text) as LockHolder | null;
    return value !== null && Number.isInteger(value.pid) && value.pid > 0 ? value : null;
  } catch {
    return null;
  }
}
