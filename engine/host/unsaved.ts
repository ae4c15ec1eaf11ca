/**
 * Keeps in memory what could not be stored, mostly because of a full disk, and tries again until the store takes it. Nobody has
 * to restart the host when there is space again.
 */
import { logError, type ProblemCode, type ProblemValue, toProblemValue } from '../problem.ts';

const retryMilliseconds = 2000;
/**
 * Limits the tries for an error that does not pass by itself. A disk may be full, or away, for days; anything else that fails
 * so often will not be stored at all.
 */
const mostTries = 30;

/**
 * Returns whether something with this code may succeed later: the disk is full or does not answer, or another program holds the
 * database.
 */
export function mayPass(code: ProblemCode): boolean {
  return code === 'disk-full' || code === 'store-unavailable';
}

interface Pending {
  readonly work: () => void;
  readonly givenUp: () => void;
  tries: number;
  /** Says why it could not be stored the last time, or is null before the first time. */
  reason: ProblemValue | null;
}

export class Unsaved {
  readonly #pending = new Map<string, Pending>();
  #timer: NodeJS.Timeout | undefined;

  /** Says whether something waits to be stored. */
  get busy(): boolean {
    return this.#pending.size > 0;
  }

  /**
   * Does `work`, which throws when it cannot be stored, now or as soon as that is possible. It replaces what waits under the
   * same `name`. `givenUp` is called when `work` is not tried again.
   */
  save(name: string, work: () => void, givenUp = (): void => {}): void {
    this.#pending.set(name, { work, givenUp, tries: 0, reason: null });
    this.#try(name);
    this.#arm();
  }

  /** Tries everything again at once. */
  retry(): void {
    for (const name of [...this.#pending.keys()]) this.#try(name);
  }

  /** Returns why what waits as `name` could not be stored yet, or null when nothing waits. */
  reasonFor(name: string): ProblemValue | null {
    return this.#pending.get(name)?.reason ?? null;
  }

  /** Drops what waits as `name`, because it means nothing any more. */
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
      // Each is logged once, because a full disk has no space for more.
      if (pending.tries++ === 0) logError(new Error(`${name} is not saved yet`, { cause: error }));
      pending.reason = toProblemValue(error);
      if (this.#pending.has(name)) return;
      if (mayPass(pending.reason.code) || pending.tries < mostTries) this.#pending.set(name, pending);
      else pending.givenUp();
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
