/** The lock of a data folder: one host at a time. It names the process by id and start time, so a stale one is known for what it is. */
import { execFileSync } from 'node:child_process';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** What the system says about when it started; null where it cannot be asked. */
  readonly started: string | null;
}

/** The identity of a living process, or null when there is none with that id. */
export function processIdentity(pid: number): ProcessIdentity | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  return { pid, started: startTime(pid) };
}

function startTime(pid: number): string | null {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // proc(5): fields after the name in parentheses start at 3; 22 is the start time in ticks since boot.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z') return 'ended';
      return fields[19] ?? null;
    }
    if (process.platform === 'darwin')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null;
  } catch {
    return null;
  }
  return null;
}

/** Whether that very process still lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = processIdentity(identity.pid);
  return now !== null && (now.started === identity.started || now.started === null || identity.started === null);
}

/** Takes the lock, or answers false when a living host holds it. */
export function takeLock(path: string): boolean {
  const own = `${path}.${process.pid}`;
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
      const held = readText(path);
      if (held === null) continue;
      const holder = parseIdentity(held);
      if (holder !== null && isAlive(holder)) return false;
      removeStale(path, held);
    }
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Moves a stale lock away; two starters may try at once, so what was moved is looked at again. */
function removeStale(path: string, stale: string): void {
  const away = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, away);
  } catch {
    return;
  }
  if (readText(away) !== stale) {
    try {
      linkSync(away, path);
    } catch {
      // A third one was faster; whoever holds the lock now will answer.
    }
  }
  rmSync(away, { force: true });
}

export function releaseLock(path: string): void {
  const holder = parseIdentity(readText(path) ?? '');
  if (holder?.pid === process.pid) rmSync(path, { force: true });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function parseIdentity(text: string): ProcessIdentity | null {
  try {
    const value = JSON.parse(text) as ProcessIdentity | null;
    return value !== null && Number.isInteger(value.pid) ? value : null;
  } catch {
    return null;
  }
}
