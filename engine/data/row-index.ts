/** Where each row of a data set begins, as far as somebody has read: a page further down need not be read up to. Twelve bytes a row. */
import { Column } from './column.ts';
import type { RecordPlace } from './readers/reader.ts';

/** A row, the file it is in (from 0), and where there. */
export interface RowPlace {
  readonly row: number;
  readonly file: number;
  /** The same row counted within its file. */
  readonly rowOfFile: number;
  readonly place: RecordPlace | null;
}

export class RowIndex {
  readonly #at = new Column(Float64Array);
  readonly #lines = new Column(Uint32Array);
  readonly #files: { readonly file: number; readonly first: number }[] = [];

  /** Takes note of a row; rows are noted in their order, and one that is known is passed over. */
  add(row: number, file: number, { at, line }: RecordPlace): void {
    if (row !== this.#at.length) return;
    if (this.#files.at(-1)?.file !== file) this.#files.push({ file, first: row });
    this.#at.add(at);
    this.#lines.add(line);
  }

  /** The row itself, or where it is not known the last one that is; at first the beginning. */
  nearest(wanted: number): RowPlace {
    const row = Math.min(wanted, this.#at.length - 1);
    const found = this.#files.findLast(({ first }) => first <= row);
    if (found === undefined) return { row: 0, file: 0, rowOfFile: 0, place: null };
    return { row, file: found.file, rowOfFile: row - found.first, place: { at: this.#at.at(row), line: this.#lines.at(row) } };
  }
}
