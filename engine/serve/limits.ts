/** Defines the limits of the endpoint, in bytes, milliseconds and requests. */
export interface Limits {
  /** Gives the largest body. */
  readonly bodyBytes: number;
  /** Gives the time in which the header, and after it the body, must have arrived. */
  readonly receiveMs: number;
  /** Gives the time that one answer may take from its turn on. */
  readonly answerMs: number;
  /** Gives the number of requests that may wait for their turn. */
  readonly waiting: number;
  /** Gives the number of open connections. */
  readonly connections: number;
}

export const usualLimits: Limits = {
  bodyBytes: 4_000_000,
  receiveMs: 10_000,
  answerMs: 600_000,
  waiting: 8,
  connections: 64,
};
