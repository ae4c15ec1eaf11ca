/**
 * Remembers where rows of a data set begin: each row as far as the data has been read, which takes twelve bytes a row, and some of
 * those further down where an earlier reading has kept them. A later page can then be read directly.
 */
import { Column } from './column.ts';
import type { RecordPlace } from './readers/reader.ts';

/** Names a row, its file (by number, from 0), and its place there. */
export interface RowPlace {
  readonly row: number;
  readonly file: number;
  /** Counts the same row within its file. */
  readonly rowOfFile: number;
  readonly place: RecordPlace | null;
}

export class RowIndex {
  readonly #at = new Column(Float64Array);
  readonly #lines = new Column(Uint32Array);
  readonly #files: { readonly file: number; readonly first: number }[] = [];

  readonly #marks: RowPlace[] = [];

  /** Records where a row begins. Rows must be added in order; a row that is known already is ignored. */
  add(row: number, file: number, { at, line }: RecordPlace): void {
    if (row !== this.#at.length) return;
    if (this.#files.at(-1)?.file !== file) this.#files.push({ file, first: row });
    this.#at.add(at);
    this.#lines.add(line);
  }

  /** Takes note of a row somewhere. */
  mark(row: RowPlace): void {
    const at = this.#marks.findLastIndex((before) => before.row <= row.row);
    if (this.#marks[at]?.row !== row.row) this.#marks.splice(at + 1, 0, row);
  }

  /** Returns the row itself, or the last known row before it, or at first the beginning. */
  nearest(wanted: number): RowPlace {
    const mark = wanted < this.#at.length ? undefined : this.#marks.findLast(({ row }) => row <= wanted);
    if (mark !== undefined && mark.row >= this.#at.length) return mark;
    const row = Math.min(wanted, this.#at.length - 1);
    const found = this.#files.findLast(({ first }) => first <= row);
    if (found === undefined) return { row: 0, file: 0, rowOfFile: 0, place: null };
    return { row, file: found.file, rowOfFile: row - found.first, place: { at: this.#at.at(row), line: this.#lines.at(row) } };
  }
}
