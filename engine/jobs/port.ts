/** What a job sees of the host: it sends messages, hears of a stop, and, when it is long-lived, answers requests. */
import type { JobMessage, JobRequest, Progress } from '../contract.ts';

/** Whoever waits for the answer to a request. */
export interface Asker {
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal;
  report(progress: Progress): void;
}

export interface JobPort {
  send(message: JobMessage): void;
  /** A stop was asked for; read between steps. */
  readonly stopRequested: boolean;
  /** Sets the one handler of a long-lived job. Requests that came earlier are handed over now, in order. */
  onRequest(handler: (request: JobRequest, asker: Asker) => Promise<unknown>): void;
  /** Resolves when a stop is asked for. */
  untilStopped(): Promise<void>;
}
