/**
 * Locks a data folder, so that it has one host at a time. The lock names the process by id and start time, so a stale lock is
 * recognized; anything else in its place is moved away. Windows does not tell us start times, so a named pipe is the lock
 * there: the system releases it when its process ends, however that happens.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { isRunning } from '../formats/files.ts';
import { processStatus } from '../processes.ts';

const longestLock = 4096;

export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, as the system writes it; null when the system cannot be asked. */
  readonly started: string | null;
  /**
   * The id of the start of the machine, if the system has one: `started` counts from there. Locks of an earlier studio do not
   * have it.
   */
  readonly boot?: string;
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

/** Takes the lock, and returns false when a living host holds it. `pipe` names the pipe that is the lock on Windows. */
export async function takeLock(path: string, pipe: string): Promise<boolean> {
  if (process.platform !== 'win32') return takeFile(path);
  if (!(await holdName(pipe))) return false;
  // For people who look for the process; nobody goes by it.
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, JSON.stringify(processIdentity(process.pid)), { mode: 0o600 });
  return true;
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

function takeFile(path: string): boolean {
  const own = `${path}.${randomUUID()}`;
  writeFileSync(own, JSON.stringify(processIdentity(process.pid)), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        // A link appears with its whole content or not at all, and never over an existing file.
        linkSync(own, path);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const held = readLock(path);
      const holder = parseIdentity(held);
      if (holder !== null && isAlive(holder)) return false;
      removeStale(path, held);
    }
    return false;
  } finally {
    rmSync(own, { force: true });
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
      // A third one was faster; whoever holds the lock now will answer.
    }
  }
  rmSync(away, { recursive: true, force: true });
}

/** Returns whether the lock belongs to this process. */
export function holdsLock(path: string): boolean {
  return parseIdentity(readLock(path))?.pid === process.pid;
}

export function releaseLock(path: string): void {
  if (holdsLock(path)) rmSync(path, { force: true });
}

/** Reads the content of a lock; returns an empty text when it is not a file that a host has written. */
function readLock(path: string): string {
  try {
    const status = lstatSync(path);
    return status.isFile() && status.size <= longestLock ? readFileSync(path, 'utf8') : '';
  } catch {
    return '';
  }
}

function parseIdentity(text: string): ProcessIdentity | null {
  try {
    const value = JSON.parse(text) as ProcessIdentity | null;
    return value !== null && Number.isInteger(value.pid) && value.pid > 0 ? value : null;
  } catch {
    return null;
  }
}
