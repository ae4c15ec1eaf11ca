/**
 * Stores rows for training, many in one block of memory, because a typed array of its own takes more memory than the tokens of
 * a short row.
 */
import type { TokenRow } from './row.ts';
import { boundsOfTrained, labelsWithin } from './trained-spans.ts';

const blockLength = 1 << 20;

/** Locates tokens in a block. */
interface StoredTokens {
  readonly block: Int32Array;
  readonly start: number;
  readonly length: number;
  /** Numbers behind the ids that say where trained spans begin and end, in turn; null: the labels themselves are there. */
  readonly bounds: number | null;
}

/**
 * Represents a row whose tokens lie in a block shared with other rows: its ids, followed by the data that its labels are
 * derived from.
 */
export class StoredRow implements Pick<TokenRow, 'index' | 'file' | 'line' | 'mixPart' | 'isDocument' | 'inputIds' | 'labels'> {
  readonly index: number;
  readonly file: string;
  readonly line: number;
  readonly mixPart: number;
  readonly isDocument: boolean;
  readonly #tokens: StoredTokens;

  constructor({ index, file, line, mixPart, isDocument }: TokenRow, tokens: StoredTokens) {
    this.index = index;
    this.file = file;
    this.line = line;
    this.mixPart = mixPart;
    this.isDocument = isDocument;
    this.#tokens = tokens;
  }

  get inputIds(): Int32Array {
    const { block, start, length } = this.#tokens;
    return block.subarray(start, start + length);
  }

  get labels(): Int32Array {
    const { block, start, length, bounds } = this.#tokens;
    const after = start + length;
    if (bounds === null) return block.subarray(after, after + length);
    return labelsWithin(this.inputIds, block.subarray(after, after + bounds));
  }
}

export class RowStore {
  readonly rows: StoredRow[] = [];
  readonly #mostTokens: number;
  readonly #mostOfDocument: number;
  /** Holds the tokens of the row that was added last, by its ids: where a mix repeats it they are stored once. */
  readonly #last = new Map<Int32Array, StoredTokens>();
  #block = new Int32Array(0);
  #used = 0;

  /** Keeps no more than the first `mostTokens` tokens of each row, and `mostOfDocument` of a document. */
  constructor(mostTokens = Number.POSITIVE_INFINITY, mostOfDocument = mostTokens) {
    this.#mostTokens = mostTokens;
    this.#mostOfDocument = mostOfDocument;
  }

  /** Copies a row without its text and messages. */
  add(row: TokenRow): void {
    if (row.copy === 0) this.#last.clear();
    const tokens = this.#last.get(row.inputIds) ?? this.#stored(row);
    this.#last.set(row.inputIds, tokens);
    this.rows.push(new StoredRow(row, tokens));
  }

  #stored(row: TokenRow): StoredTokens {
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
    const tokens = { block: this.#block, start: this.#used, length, bounds: bounds?.length ?? null };
    this.#used += needed;
    return tokens;
  }
}
