import type { FoundRow, ProblemValue } from '../../../engine/contract.ts';
import { problemOf } from '../../state/engine.ts';

/** A search ends when it has found so many rows. */
export const mostFound = 10_000;

type Find = (
  question: { text: string; from: number },
  signal: AbortSignal,
) => Promise<{ readonly found: readonly FoundRow[]; readonly next: number | null }>;

/** Looks for a text in all rows, piece by piece, until the end or until it is stopped. */
export class RowSearch {
  found = $state.raw<readonly FoundRow[]>([]);
  /** Holds the text that is or was looked for; null where none is. */
  text = $state<string | null>(null);
  /** Rows that have been looked at. */
  done = $state(0);
  state = $state<'looking' | 'stopped' | 'done'>('done');
  problem = $state.raw<ProblemValue | null>(null);
  #stop = new AbortController();

  async start(text: string, find: Find): Promise<void> {
    this.clear();
    const stop = (this.#stop = new AbortController());
    this.text = text;
    this.state = 'looking';
    try {
      for (let from: number | null = 0; from !== null && this.found.length < mostFound;) {
        const { found, next }: Awaited<ReturnType<Find>> = await find({ text, from }, stop.signal);
        if (stop.signal.aborted) return;
        if (found.length > 0) this.found = [...this.found, ...found];
        this.done = next ?? this.done;
        from = next;
      }
      this.state = 'done';
    } catch (error) {
      if (stop.signal.aborted) return;
      this.problem = problemOf(error);
      this.state = 'stopped';
    }
  }

  stop(): void {
    this.#stop.abort();
    if (this.state === 'looking') this.state = 'stopped';
  }

  clear(): void {
    this.#stop.abort();
    this.text = null;
    this.found = [];
    this.done = 0;
    this.state = 'done';
    this.problem = null;
  }
}
