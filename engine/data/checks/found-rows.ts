/** Collects rows that have something in common. */
import type { DataCheck } from '../../contract.ts';

/** This many rows can be left out together. */
const maxRowsNamed = 10_000;

/** Gives the number of rows below which checks say nothing about a share, because none is typical. */
export const fewestForShare = 20;

/** Collects rows that have something in common: their number, and the first of them. */
export class FoundRows {
  readonly rows: number[] = [];
  /** Limits how many rows are listed. */
  readonly mostNamed = maxRowsNamed;
  count = 0;

  add(index: number): void {
    this.count++;
    if (this.rows.length < maxRowsNamed) this.rows.push(index);
  }

  /** Returns their number with its noun. */
  get counted(): string {
    return countedRows(this.count);
  }

  /** Returns the rows as a check lists them. */
  get listed(): Pick<DataCheck, 'rows' | 'count'> {
    return { rows: this.rows, count: this.count };
  }
}

/** Returns a number with its noun. */
export function countedRows(count: number): string {
  return `${count} row${count === 1 ? '' : 's'}`;
}

/** Returns a part of a whole in percent. It is never 0 where there is a part, and never 100 where something is missing. */
export function percentOf(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0 %';
  const percent = (100 * part) / whole;
  if (percent < 1) return 'less than 1 %';
  return `${part === whole ? 100 : Math.min(99, Math.round(percent))} %`;
}
