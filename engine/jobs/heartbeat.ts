/**
 * Starts the heartbeat of a job: a thread of its own tells the host twice a second that the process lives, and for how long it has
 * done nothing. A computation blocks the job's own thread, for minutes in a slow step, so that thread cannot tell.
 */
import { Worker } from 'node:worker_threads';
import type { HeartbeatSetup } from './heartbeat-worker.ts';

/**
 * Gives the descriptor that the host listens on for the heartbeat, after standard input, output and error and the message channel.
 */
export const heartbeatDescriptor = 4;
/** Gives the argument by which the host says that it listens there. */
export const heartbeatArgument = '--heartbeat';

const millisecondsBetweenTurns = 100;

/** Starts the heartbeat. The process then also ends when its host is gone, even during a call that never returns. */
export function startHeartbeat(): void {
  const turns = new Int32Array(new SharedArrayBuffer(4));
  // An event loop that turns may be waiting for a request, but does not hang.
  setInterval(() => Atomics.add(turns, 0, 1), millisecondsBetweenTurns).unref();
  const setup: HeartbeatSetup = { descriptor: heartbeatDescriptor, turns };
  const worker = new Worker(new URL('./heartbeat-worker.ts', import.meta.url), {
    workerData: setup,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  });
  worker.unref();
}
