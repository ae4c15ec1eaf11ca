/** Rows as training sees them, many in one block of memory: an array of its own costs more than the tokens of a short row. */
import type { TokenRow } from './rows.ts';

const blockLength = 1 << 20;

/** A row whose tokens lie in a block that it shares with others. */
export class StoredRow implements Pick<TokenRow, 'index' | 'file' | 'line' | 'inputIds' | 'labels'> {
  readonly index: number;
  readonly file: string;
  readonly line: number;
  readonly #block: Int32Array;
  readonly #start: number;
  readonly #length: number;

  constructor({ index, file, line }: TokenRow, block: Int32Array, start: number, length: number) {
    this.index = index;
    this.file = file;
    this.line = line;
    this.#block = block;
    this.#start = start;
    this.#length = length;
  }

  get inputIds(): Int32Array {
    return this.#block.subarray(this.#start, this.#start + this.#length);
  }

  get labels(): Int32Array {
    return this.#block.subarray(this.#start + this.#length, this.#start + 2 * this.#length);
  }
}

export class RowStore {
  readonly rows: StoredRow[] = [];
  #block = new Int32Array(0);
  #used = 0;

  /** Copies a row without its text and messages. */
  add(row: TokenRow): void {
    const length = row.inputIds.length;
    if (this.#used + 2 * length > this.#block.length) {
      this.#block = new Int32Array(Math.max(blockLength, 2 * length));
      this.#used = 0;
    }
    this.#block.set(row.inputIds, this.#used);
    this.#block.set(row.labels, this.#used + length);
    this.rows.push(new StoredRow(row, this.#block, this.#used, length));
    this.#used += 2 * length;
  }
}
