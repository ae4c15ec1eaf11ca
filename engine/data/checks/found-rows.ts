/** Rows with something in common. */
import type { DataCheck } from '../../contract.ts';

/** As many can be left out together. */
const maxRowsNamed = 10_000;

/** Rows with something in common: how many, and which are the first of them. */
export class FoundRows {
  readonly rows: number[] = [];
  /** So many are listed at most. */
  readonly mostNamed = maxRowsNamed;
  count = 0;

  add(index: number): void {
    this.count++;
    if (this.rows.length < maxRowsNamed) this.rows.push(index);
  }

  /** Says their number with its noun. */
  get counted(): string {
    return countedRows(this.count);
  }

  /** Returns what a check says of them. */
  get listed(): Pick<DataCheck, 'rows' | 'count'> {
    return { rows: this.rows, count: this.count };
  }
}

/** Says a number with its noun. */
export function countedRows(count: number): string {
  return `${count} row${count === 1 ? '' : 's'}`;
}

/** Says a part of a whole in percent: never 0 where there is some, and never 100 where some is missing. */
export function percentOf(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0 %';
  const percent = (100 * part) / whole;
  if (percent < 1) return 'less than 1 %';
  return `${part === whole ? 100 : Math.min(99, Math.round(percent))} %`;
}
