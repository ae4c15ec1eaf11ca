/** A job without a host, and a request to it that nobody follows. */
import type { Asker, JobPort } from '../jobs/port.ts';

export const silentPort: JobPort = {
  send: () => {},
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => new Promise(() => {}),
};

export const silentAsker: Asker = { signal: new AbortController().signal, report: () => {} };
