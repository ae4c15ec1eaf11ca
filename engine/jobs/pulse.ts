/**
 * The pulse of a job: a thread of its own tells the host twice a second that the process lives, and for how long it has done nothing.
 * What computes blocks the job's own thread, for minutes in a slow step, so nothing that runs there can tell.
 */
import { Worker } from 'node:worker_threads';
import type { PulseSetup } from './pulse-worker.ts';

/** Where the host listens, besides standard input, output, errors and the channel of messages. */
export const pulseDescriptor = 4;
/** The argument with which the host says that it listens there. */
export const pulseArgument = '--pulse';

const millisecondsBetweenTurns = 100;

/** Starts the pulse; the process then also ends when its host is gone, even from within a call that never returns. */
export function startPulse(): void {
  const turns = new Int32Array(new SharedArrayBuffer(4));
  // An event loop that turns may be waiting for a request, but does not hang.
  setInterval(() => Atomics.add(turns, 0, 1), millisecondsBetweenTurns).unref();
  const setup: PulseSetup = { descriptor: pulseDescriptor, turns };
  const worker = new Worker(new URL('./pulse-worker.ts', import.meta.url), {
    workerData: setup,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  });
  worker.unref();
}
