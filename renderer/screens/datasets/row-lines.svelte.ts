import type { ProblemValue, RowLine } from '../../../engine/contract.ts';
import { problemOf } from '../../state/engine.ts';

/** Rows are asked for so many at a time, and so many are kept. */
const pageSize = 50;
const mostAsked = 200;
const mostKept = 4000;

interface Page {
  readonly rows: readonly RowLine[];
  readonly total: number;
}

/** Holds the rows of a list of any length as far as they were looked at. Only what is asked for last is waited for. */
export class RowLines {
  lines = $state.raw<ReadonlyMap<number, RowLine>>(new Map());
  /** Rows of the data; null until a page has come. */
  total = $state<number | null>(null);
  problem = $state.raw<ProblemValue | null>(null);
  #of = '';
  /** Says what the lines that are there were asked for. */
  #asked = '';
  #turn = 0;

  /**
   * Asks for the rows `from` up to `to` that are not there. `of` names the data: with another, other lines are no longer shown. `how` is all
   * that decides what a line says besides.
   */
  async look(
    { of, how, from, to }: { readonly of: string; readonly how: string; readonly from: number; readonly to: number },
    ask: (page: { offset: number; limit: number }) => Promise<Page>,
  ): Promise<void> {
    if (of !== this.#of) this.clear();
    this.#of = of;
    const isOther = how !== this.#asked;
    const missing = Array.from({ length: to - from }, (_, i) => from + i).filter((row) => isOther || !this.lines.has(row));
    if (missing.length === 0 && to > from) return;
    const turn = ++this.#turn;
    const offset = Math.floor((missing[0] ?? from) / pageSize) * pageSize;
    const limit = Math.min(mostAsked, Math.max(1, Math.ceil((to - offset) / pageSize)) * pageSize);
    try {
      const { rows, total } = await ask({ offset, limit });
      if (turn !== this.#turn) return;
      const kept = isOther || this.lines.size > mostKept ? [] : this.lines;
      this.lines = new Map([...kept, ...rows.map((row) => [row.index, row] as const)]);
      this.#asked = how;
      this.total = total;
      this.problem = null;
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    }
  }

  clear(): void {
    this.#turn++;
    this.#asked = '';
    this.lines = new Map();
    this.total = null;
    this.problem = null;
  }
}
