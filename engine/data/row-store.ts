/**
 * Stores rows for training, many in one block of memory, because a typed array of its own takes more memory than the tokens of
 * a short row.
 */
import type { TokenRow } from './row.ts';
import { boundsOfTrained, labelsWithin } from './trained-spans.ts';

const blockLength = 1 << 20;

/**
 * Represents a row whose tokens lie in a block shared with other rows: its ids, followed by the data that its labels are
 * derived from.
 */
export class StoredRow implements Pick<TokenRow, 'index' | 'file' | 'line' | 'isDocument' | 'inputIds' | 'labels'> {
  readonly index: number;
  readonly file: string;
  readonly line: number;
  readonly isDocument: boolean;
  readonly #block: Int32Array;
  readonly #start: number;
  readonly #length: number;
  /**
   * Counts the numbers after the ids that say alternately where trained spans begin and end. It is null where the labels
   * themselves are stored.
   */
  readonly #bounds: number | null;

  constructor(
    { index, file, line, isDocument }: TokenRow,
    place: { readonly block: Int32Array; readonly start: number; readonly length: number; readonly bounds: number | null },
  ) {
    this.index = index;
    this.file = file;
    this.line = line;
    this.isDocument = isDocument;
    this.#block = place.block;
    this.#start = place.start;
    this.#length = place.length;
    this.#bounds = place.bounds;
  }

  get inputIds(): Int32Array {
    return this.#block.subarray(this.#start, this.#start + this.#length);
  }

  get labels(): Int32Array {
    const after = this.#start + this.#length;
    if (this.#bounds === null) return this.#block.subarray(after, after + this.#length);
    return labelsWithin(this.inputIds, this.#block.subarray(after, after + this.#bounds));
  }
}

export class RowStore {
  readonly rows: StoredRow[] = [];
  readonly #mostTokens: number;
  readonly #mostOfDocument: number;
  #block = new Int32Array(0);
  #used = 0;

  /** Keeps no more than the first `mostTokens` tokens of each row, and `mostOfDocument` of a document. */
  constructor(mostTokens = Number.POSITIVE_INFINITY, mostOfDocument = mostTokens) {
    this.#mostTokens = mostTokens;
    this.#mostOfDocument = mostOfDocument;
  }

  /** Copies a row without its text and messages. */
  add(row: TokenRow): void {
    const most = row.isDocument ? this.#mostOfDocument : this.#mostTokens;
    const ids = row.inputIds.subarray(0, most);
    const labels = row.labels.subarray(0, most);
    const bounds = boundsOfTrained(ids, labels);
    const behind = bounds ?? labels;
    const [length, needed] = [ids.length, ids.length + behind.length];
    if (this.#used + needed > this.#block.length) {
      this.#block = new Int32Array(Math.max(blockLength, needed));
      this.#used = 0;
    }
    this.#block.set(ids, this.#used);
    this.#block.set(behind, this.#used + length);
    const place = { block: this.#block, start: this.#used, length, bounds: bounds?.length ?? null };
    this.rows.push(new StoredRow(row, place));
    this.#used += needed;
  }
}
