/** Lets one request after another have its turn, in the order they came. */
import { ApiError } from './api-error.ts';

/** Gives the seconds after which a client that was sent away may try again. */
const retrySeconds = 5;

export class Turns {
  readonly #mostWaiting: number;
  readonly #onChange: () => void;
  /** Resolves when all that came so far have had their turn. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isTaken = false;

  constructor(mostWaiting: number, onChange: () => void) {
    this.#mostWaiting = mostWaiting;
    this.#onChange = onChange;
  }

  get waiting(): number {
    return this.#waiting;
  }
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Does the work when its turn comes. Throws an `ApiError` where too many wait, and gives the place up when `gone` fires. */
  async take<T>(gone: AbortSignal, work: () => Promise<T>): Promise<T> {
    if ((this.#isTaken || this.#waiting > 0) && this.#waiting >= this.#mostWaiting)
      throw new ApiError(429, 'queue_full', `${this.#waiting} requests are waiting already. Try again later.`, {
        headers: { 'Retry-After': String(retrySeconds) },
      });
    const before = this.#last;
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    this.#last = Promise.all([before, over]);
    this.#change(() => this.#waiting++);
    try {
      await orAborted(before, gone);
    } catch (error) {
      end();
      throw error;
    } finally {
      this.#change(() => this.#waiting--);
    }
    this.#change(() => (this.#isTaken = true));
    try {
      return await work();
    } finally {
      this.#change(() => (this.#isTaken = false));
      end();
    }
  }

  #change(make: () => void): void {
    make();
    this.#onChange();
  }
}

/** Waits for a promise that never rejects, and rejects with the reason of the signal when that fires first. */
async function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
