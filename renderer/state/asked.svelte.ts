import type { ProblemValue } from '../../engine/contract.ts';
import { problemOf } from './engine.ts';

/**
 * Holds a value that is requested from the engine: pending, present, or failed. An older value stays visible while a newer one
 * is loading, and an answer is dropped when a newer question was asked meanwhile.
 */
export class Asked<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<ProblemValue | null>(null);
  pending = $state(false);
  #turn = 0;

  async ask(question: () => Promise<T>): Promise<void> {
    const turn = ++this.#turn;
    this.pending = true;
    try {
      const value = await question();
      if (turn !== this.#turn) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.problem = problemOf(error);
    }
    this.pending = false;
  }

  /** Forgets the value, and the answer that may be on its way. */
  clear(): void {
    this.#turn++;
    this.value = null;
    this.problem = null;
    this.pending = false;
  }
}
