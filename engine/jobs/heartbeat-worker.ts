/** Sends signs of life to the host, in a thread of the job; see heartbeat.ts. */
import { readFileSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import type { JobMessage } from '../contract.ts';

export interface HeartbeatSetup {
  readonly descriptor: number;
  /** Says how often the event loop of the job has turned. */
  readonly turns: Int32Array<SharedArrayBuffer>;
}

const { descriptor, turns } = workerData as HeartbeatSetup;
const millisecondsBetweenBeats = 500;
/**
 * Gives the processor time between two beats, in microseconds, below which the process only does what every process does by
 * itself.
 */
const noWork = 10_000;

/**
 * Holds numbers that grow while the process works: turns, processor time of all other threads in microseconds, and pages and
 * blocks read and written.
 */
interface Work {
  readonly turns: number;
  readonly cpu: number;
  readonly blocks: number;
}

function workSoFar(): Work {
  const { userCPUTime, systemCPUTime, majorPageFault, fsRead, fsWrite } = process.resourceUsage();
  const { user, system } = process.threadCpuUsage();
  return {
    turns: Atomics.load(turns, 0),
    cpu: userCPUTime + systemCPUTime - user - system,
    blocks: majorPageFault + fsRead + fsWrite,
  };
}

/** Returns whether the job's own thread computes, or waits for a processor or the disk: the states R and D of proc(5). */
function isOnItsWay(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/self/task/${process.pid}/stat`, 'latin1');
    return /^[RD]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

let before = workSoFar();
/** Counts the beats without work. A clock would go on while the computer sleeps, but beats do not. */
let idleBeats = 0;

function beat(): void {
  const now = workSoFar();
  const works = now.turns !== before.turns || now.cpu - before.cpu >= noWork || now.blocks !== before.blocks || isOnItsWay();
  idleBeats = works ? 0 : idleBeats + 1;
  before = now;
  const message: JobMessage = { type: 'heartbeat', idleSeconds: (idleBeats * millisecondsBetweenBeats) / 1000 };
  try {
    writeSync(descriptor, `${JSON.stringify(message)}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The host is gone, and the job's own thread may never hear of it.
    if (code !== 'EAGAIN') process.kill(process.pid, 'SIGKILL');
  }
}

setInterval(beat, millisecondsBetweenBeats);
beat();
