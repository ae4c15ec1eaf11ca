import type { ProblemValue } from '../../engine/contract.ts';
import { type Asking, EngineProblem, problemOf } from './engine.ts';

export interface Notice {
  readonly id: number;
  readonly kind: 'done' | 'failed' | 'working';
  readonly text: string;
  readonly detail: string | null;
  readonly undo: (() => void) | null;
  /** Ends the work in progress. */
  readonly stop: (() => void) | null;
}

const secondsToUndo = 6;
/** Sets the milliseconds after which work in progress is shown, as with skeletons. */
const momentMilliseconds = 150;

/** Holds the short messages at the lower right, and the removals that can still be undone. */
export class Notices {
  items = $state.raw<readonly Notice[]>([]);
  #next = 1;
  /** Holds the problems that arose because a person stopped something. */
  readonly #stopped = new WeakSet<ProblemValue>();

  /** Says what was done, and offers to take it back where it can be. */
  done(text: string, undo: (() => void) | null = null): void {
    const notice = this.#add(
      {
        ...{ kind: 'done', text, detail: null, stop: null },
        undo:
          undo === null
            ? null
            : () => {
                this.dismiss(notice);
                undo();
              },
      },
      secondsToUndo,
    );
  }

  /** Says what went wrong. Nothing is said of what a person has stopped. */
  failed(error: unknown): void {
    if (error instanceof EngineProblem && this.#stopped.has(error.value)) return;
    const problem: ProblemValue = problemOf(error);
    this.#add({ kind: 'failed', text: problem.message, detail: problem.hint, undo: null, stop: null }, 20);
  }

  /** Says what a person should know, until it is dismissed. */
  warn({ message, hint }: ProblemValue): void {
    this.#add({ kind: 'failed', text: message, detail: hint, undo: null, stop: null }, null);
  }

  /**
   * Does `work`, says what is going on when that takes longer than a moment, and lets a person stop it: `work` passes what it is given
   * on to the requests it makes.
   */
  async during<T>(text: string, work: (asking: Asking) => Promise<T>): Promise<T> {
    const cancel = new AbortController();
    let notice: number | null = null;
    const timer = setTimeout(() => {
      notice = this.#add({ kind: 'working', text, detail: null, undo: null, stop: () => cancel.abort() }, null);
    }, momentMilliseconds);
    try {
      return await work({ signal: cancel.signal });
    } catch (error) {
      if (cancel.signal.aborted && error instanceof EngineProblem) this.#stopped.add(error.value);
      throw error;
    } finally {
      clearTimeout(timer);
      if (notice !== null) this.dismiss(notice);
    }
  }

  /** Announces a change, and makes it final unless it is undone in time. */
  undoable(text: string, undo: () => void, commit: () => Promise<unknown>): void {
    let open = true;
    const notice = this.#add(
      {
        kind: 'done',
        text,
        detail: null,
        stop: null,
        undo: () => {
          if (!open) return;
          open = false;
          this.dismiss(notice);
          undo();
        },
      },
      secondsToUndo,
    );
    const settle = () => {
      if (!open) return;
      open = false;
      commit().catch((error: unknown) => {
        undo();
        this.failed(error);
      });
    };
    setTimeout(settle, secondsToUndo * 1000);
    window.addEventListener('pagehide', settle, { once: true });
  }

  undoLast(): void {
    this.items.findLast((item) => item.undo !== null)?.undo?.();
  }

  dismiss(id: number): void {
    this.items = this.items.filter((item) => item.id !== id);
  }

  /** Shows a notice for some seconds, or until it is dismissed where these are null. */
  #add(notice: Omit<Notice, 'id'>, seconds: number | null): number {
    const id = this.#next++;
    this.items = [...this.items, { ...notice, id }];
    if (seconds !== null) setTimeout(() => this.dismiss(id), seconds * 1000);
    return id;
  }
}
