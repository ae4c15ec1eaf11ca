/** Provides ports that let a job run without a host, and a request to it without anybody who follows. */
import type { JobAsker, JobPort } from '../jobs/port.ts';
import { stepsOf } from './run-events.ts';

export const silentPort: JobPort = {
  send: () => {},
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => new Promise(() => {}),
};

export const silentAsker: JobAsker = { signal: new AbortController().signal, report: () => {} };

/** Returns the port of a training that is asked to stop once its folder holds the given number of steps. */
export const portUntil = (out: string, steps: number): JobPort => ({
  ...silentPort,
  get stopRequested() {
    return stepsOf(out).length >= steps;
  },
});
