/** Defines what a job sees of the host: it sends messages, is told to stop and, when it is long-lived, answers requests. */
import type { JobMessage, JobRequest, Progress } from '../contract.ts';

/** Waits for the answer to a request. */
export interface JobAsker {
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  report(progress: Progress): void;
}

export interface JobPort {
  send(message: JobMessage): void;
  /** Says whether a stop was requested; it is read between steps. */
  readonly stopRequested: boolean;
  /** Sets the one handler of a long-lived job. Requests that came before are passed to it now, in order. */
  onRequest(handler: (request: JobRequest, asker: JobAsker) => Promise<unknown>): void;
  /** Resolves when a stop is requested. */
  untilStopped(): Promise<void>;
}
