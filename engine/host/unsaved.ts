/**
 * What happened and could not be stored, on a full disk above all. It is kept in memory and tried again until the store takes it, so
 * that nobody has to start the host anew when there is space again.
 */
import { logError, toProblemValue } from '../problem.ts';

const retryMilliseconds = 2000;
/** Space may come back after days. What fails for another reason so often will not be stored at all. */
const mostTries = 30;

interface Pending {
  readonly work: () => void;
  tries: number;
}

export class Unsaved {
  readonly #pending = new Map<string, Pending>();
  #timer: NodeJS.Timeout | undefined;

  /** Whether something waits to be stored. */
  get busy(): boolean {
    return this.#pending.size > 0;
  }

  /** Does `work`, which throws when it cannot be stored, now or else as soon as that is possible. It takes the place of what waits as `name`. */
  save(name: string, work: () => void): void {
    this.#pending.set(name, { work, tries: 0 });
    this.#try(name);
    this.#arm();
  }

  /** Tries again at once. */
  retry(): void {
    for (const name of [...this.#pending.keys()]) this.#try(name);
  }

  /** What waits as `name` means nothing any more. */
  forget(name: string): void {
    this.#pending.delete(name);
  }

  #try(name: string): void {
    const pending = this.#pending.get(name);
    if (pending === undefined) return;
    try {
      this.#pending.delete(name);
      pending.work();
    } catch (error) {
      // Once for each in the log; a full disk has no space for more.
      if (pending.tries++ === 0) logError(new Error(`${name} is not stored yet`, { cause: error }));
      const isFull = toProblemValue(error).code === 'disk-full';
      if ((isFull || pending.tries < mostTries) && !this.#pending.has(name)) this.#pending.set(name, pending);
    }
  }

  #arm(): void {
    if (this.#timer !== undefined || !this.busy) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.retry();
      this.#arm();
    }, retryMilliseconds).unref();
  }
}
