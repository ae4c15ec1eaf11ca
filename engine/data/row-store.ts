/** Rows as training sees them, many in one block of memory: an array of its own costs more than the tokens of a short row. */
import type { TokenRow } from './rows.ts';

const ignored = -100;
const blockLength = 1 << 20;

/** A row whose tokens lie in a block that it shares with others: its ids, then what its labels follow from. */
export class StoredRow implements Pick<TokenRow, 'index' | 'file' | 'line' | 'inputIds' | 'labels'> {
  readonly index: number;
  readonly file: string;
  readonly line: number;
  readonly #block: Int32Array;
  readonly #start: number;
  readonly #length: number;
  /** Numbers behind the ids that say where trained spans begin and end, in turn; null: the labels themselves are there. */
  readonly #bounds: number | null;

  constructor(
    { index, file, line }: TokenRow,
    place: { readonly block: Int32Array; readonly start: number; readonly length: number; readonly bounds: number | null },
  ) {
    this.index = index;
    this.file = file;
    this.line = line;
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
    const ids = this.inputIds;
    const labels = new Int32Array(this.#length).fill(ignored);
    for (let i = after; i < after + this.#bounds; i += 2) {
      const [from, to] = [this.#block[i]!, this.#block[i + 1]!];
      labels.set(ids.subarray(from, to), from);
    }
    return labels;
  }
}

export class RowStore {
  readonly rows: StoredRow[] = [];
  readonly #mostTokens: number;
  #block = new Int32Array(0);
  #used = 0;

  /** Of each row no more than its first `mostTokens` tokens are kept. */
  constructor(mostTokens = Number.POSITIVE_INFINITY) {
    this.#mostTokens = mostTokens;
  }

  /** Copies a row without its text and messages. */
  add(row: TokenRow): void {
    const ids = row.inputIds.subarray(0, this.#mostTokens);
    const labels = row.labels.subarray(0, this.#mostTokens);
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

/**
 * Where trained spans begin and end, in turn: nearly always a few numbers in place of a label for each token. Null where labels are other
 * tokens than the row's own, or where the bounds would be no shorter than the labels.
 */
function boundsOfTrained(ids: Int32Array, labels: Int32Array): number[] | null {
  const bounds: number[] = [];
  let isTrained = false;
  for (let t = 0; t < labels.length; t++) {
    const label = labels[t]!;
    if (label !== ignored && label !== ids[t]) return null;
    if ((label !== ignored) === isTrained) continue;
    isTrained = !isTrained;
    bounds.push(t);
    if (bounds.length + 1 >= labels.length) return null;
  }
  if (isTrained) bounds.push(labels.length);
  return bounds;
}
