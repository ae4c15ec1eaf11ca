/** Locks the folder of a run with the file `run.lock`, so that only one job at a time trains in it. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isAlive, type LockHolder, lockHolder, processIdentity, releaseLock, takeLock } from '../lock.ts';
import { Problem } from '../problem.ts';

export const runLockName = 'run.lock';

/** Gives the time in which a job without its host must end. */
const millisecondsToBeGone = 5000;

/** Takes the lock of a folder for the host of this job. Returns false when another job trains there. */
export async function takeRunLock(path: string): Promise<boolean> {
  const lock = lockIn(path);
  const host = processIdentity(process.ppid);
  for (const since = performance.now(); ; await setTimeout(50)) {
    if (await takeLock(lock, pipeOf(path), host)) return true;
    const holder = lockHolder(lock);
    if (holder !== null && !isLeft(holder)) return false;
    if (performance.now() - since > millisecondsToBeGone) return false;
  }
}

export function releaseRunLock(path: string): void {
  releaseLock(lockIn(path));
}

/**
 * Returns whether a job trains in a folder for a living host, this one or that of another data folder. A job without its host is
 * ending.
 */
function isTraining(path: string): boolean {
  const holder = lockHolder(lockIn(path));
  // Where the system does not tell when a process started, another one may have its id; the job itself finds out.
  return holder !== null && holder.started !== null && !isLeft(holder);
}

const isLeft = ({ host }: LockHolder): boolean => host !== undefined && !isAlive(host);

/** Refuses to touch a folder in which a run trains. */
export function requireNoTraining(path: string): void {
  if (isTraining(path)) throw alreadyTraining(path);
}

export function alreadyTraining(path: string): Problem {
  return new Problem('not-allowed', `A run is already training in ${path}.`, 'Stop it first, or choose another folder.');
}

/** Returns the name of the pipe that locks a run's folder on Windows; it does not depend on how the path is written. */
function pipeOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `\\\\.\\pipe\\lowrank-run-${dev}-${ino}`;
}

const lockIn = (path: string): string => join(path, runLockName);
