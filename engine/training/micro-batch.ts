/**
 * Turns rows into the arrays of a micro-batch, padded side by side or packed end to end, and finds each row and each supervised
 * token in them.
 */
import { ignored, type LabelledTokens } from '../labels.ts';
import type { Recipe } from '../recipe.ts';
import { packCapacity, type BatchSize } from './step-sizes.ts';

type BatchRecipe = Pick<Recipe, 'packing' | 'batchSize'>;

/** Holds rows padded on the right to one length, or packed end to end into one row. */
export interface MicroBatch {
  /** Holds the ids of the tokens, `[batch * time]`, 0 at padding. */
  readonly inputIds: Int32Array;
  /**
   * Holds the labels `[batch * time]`, not shifted: `labels[t]` belongs to `inputIds[t]`. The label -100 is ignored and stands
   * at padding.
   */
  readonly labels: Int32Array;
  readonly batch: number;
  readonly time: number;
  /** Lists the number of tokens in each row without padding. */
  readonly lengths: readonly number[];
  /** Says whether the rows are packed end to end into one, so that `batch` is 1. */
  readonly packed?: boolean;
  /**
   * Holds the weight of each supervised token's loss in the gradient, in the order of `StepResult.tokenLoss`; 1 each when left
   * out.
   */
  readonly weights?: Float32Array;
}

/** Yields the rows of each micro-batch, in order. */
export function microBatches<T extends LabelledTokens>(rows: Iterable<T>, { packing, batchSize }: BatchRecipe): Generator<T[]> {
  return packing ? packsOf(rows) : groupsOf(rows, batchSize);
}

/** Lays the rows of one micro-batch into arrays, packed or padded as the recipe says. */
export function toMicroBatch(rows: readonly LabelledTokens[], { packing }: Pick<BatchRecipe, 'packing'>): MicroBatch {
  return packing ? toPackedBatch(rows) : toPaddedBatch(rows);
}

/** Lays rows side by side, padded at the right to the longest of them with id 0 and label -100. */
export function toPaddedBatch(rows: readonly LabelledTokens[]): MicroBatch {
  const lengths = rows.map((row) => row.inputIds.length);
  const time = Math.max(...lengths);
  const inputIds = new Int32Array(rows.length * time);
  const labels = new Int32Array(rows.length * time).fill(ignored);
  rows.forEach((row, i) => {
    inputIds.set(row.inputIds, i * time);
    labels.set(row.labels, i * time);
  });
  return { inputIds, labels, batch: rows.length, time, lengths };
}

/**
 * Packs rows end to end into one. Rows stay independent: no token attends to another row, and none has to predict a token of
 * another.
 */
export function toPackedBatch(rows: readonly LabelledTokens[]): MicroBatch {
  const lengths = rows.map((row) => row.inputIds.length);
  const time = lengths.reduce((sum, length) => sum + length, 0);
  const inputIds = new Int32Array(time);
  const labels = new Int32Array(time);
  let start = 0;
  for (const row of rows) {
    inputIds.set(row.inputIds, start);
    labels.set(row.labels, start);
    start += row.inputIds.length;
  }
  return { inputIds, labels, batch: 1, time, lengths, packed: true };
}

/** Yields packs of rows in order. Each pack has at most `capacity` tokens; a longer row is a pack by itself. */
export function* packsOf<T extends { readonly inputIds: { readonly length: number } }>(
  rows: Iterable<T>,
  capacity = packCapacity,
): Generator<T[]> {
  let pack: T[] = [];
  let room = capacity;
  for (const row of rows) {
    if (pack.length > 0 && row.inputIds.length > room) {
      yield pack;
      pack = [];
      room = capacity;
    }
    pack.push(row);
    room -= row.inputIds.length;
  }
  if (pack.length > 0) yield pack;
}

/** Yields groups of `size` rows in order; the last group may be smaller. */
function* groupsOf<T>(rows: Iterable<T>, size: number): Generator<T[]> {
  let group: T[] = [];
  for (const row of rows) {
    group.push(row);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

/** Finds the flat position at which each row of a batch begins, and its number of tokens. */
export function rowPlaces({ lengths, time, packed }: MicroBatch): { readonly start: number; readonly length: number }[] {
  let end = 0;
  return lengths.map((length, row) => {
    const start = packed === true ? end : row * time;
    end = start + length;
    return { start, length };
  });
}

/** Returns the position at which the row of each token begins, `[time]`, for packed rows; the padding is a row of its own. */
export function startsOfTokens(batch: MicroBatch): Int32Array {
  const rows = rowPlaces(batch);
  const { start, length } = rows.at(-1)!;
  const starts = new Int32Array(batch.time).fill(start + length);
  for (const row of rows) starts.fill(row.start, row.start, row.start + row.length);
  return starts;
}

/**
 * Lists the flat positions whose next token is supervised (`rows`), that token (`targets`), and the row of each in the batch.
 */
export function supervised(batch: MicroBatch): { rows: number[]; targets: number[]; tokenRow: Int32Array } {
  const rows: number[] = [];
  const targets: number[] = [];
  const tokenRow: number[] = [];
  rowPlaces(batch).forEach(({ start, length }, row) => {
    for (let position = start; position + 1 < start + length; position++) {
      const label = batch.labels[position + 1]!;
      if (label === ignored) continue;
      rows.push(position);
      targets.push(label);
      tokenRow.push(row);
    }
  });
  return { rows, targets, tokenRow: Int32Array.from(tokenRow) };
}

/** Pads a batch on the right to the larger size that a graph takes; the rows it gains are empty. */
export function padded(given: MicroBatch, { batch, time }: BatchSize): MicroBatch {
  if (time === given.time && batch === given.batch) return given;
  const wider = (values: Int32Array, padding: number): Int32Array => {
    const result = new Int32Array(batch * time).fill(padding);
    for (let row = 0; row < given.batch; row++)
      result.set(values.subarray(row * given.time, (row + 1) * given.time), row * time);
    return result;
  };
  return { ...given, inputIds: wider(given.inputIds, 0), labels: wider(given.labels, ignored), batch, time };
}
