/** Counts what the rows of a data set are while they are read: their formats, unused columns and repeated values. */
import { ColumnValues } from './checks/columns.ts';
import type { Fields } from './columns.ts';
import type { FormatReason } from './format-reason.ts';
import type { FoundFormat, RepeatedValue, UnusedColumn } from './row.ts';

export class RowCounts {
  /** Counts rows by what their format was known by, as JSON. */
  readonly #formats = new Map<string, number>();
  readonly #unused = new Map<string, number>();
  readonly #values = new ColumnValues();

  addFormat(reason: FormatReason): void {
    addOne(this.#formats, JSON.stringify(reason));
  }

  /** Adds the columns of a row that can be used; nothing was read from those in `unused`. */
  addColumns(row: Fields, unused: ReadonlySet<string>): void {
    this.#values.add(row, unused);
    for (const name of unused) addOne(this.#unused, name);
  }

  get formats(): FoundFormat[] {
    return largestFirst(this.#formats).map(([reason, rows]) => ({ ...(JSON.parse(reason) as FormatReason), rows }));
  }

  get unused(): UnusedColumn[] {
    return largestFirst(this.#unused).map(([name, rows]) => ({ name, rows }));
  }

  get repeated(): RepeatedValue[] {
    return this.#values.repeated;
  }
}

function addOne(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function largestFirst(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].toSorted(([a, rows], [b, others]) => others - rows || (a < b ? -1 : 1));
}
