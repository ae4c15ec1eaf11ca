/** Rows as the arrays of a micro-batch, side by side or packed end to end, and where in those each row and each supervised token lies. */
import { ignored, type LabelledTokens } from '../labels.ts';
import type { Recipe } from '../recipe.ts';
import { packCapacity, type BatchSize } from './step-sizes.ts';

/** The tokens of a row. */
type BatchRecipe = Pick<Recipe, 'packing' | 'batchSize'>;

/** Rows of one shape, padded on the right, or packed end to end into one. */
export interface MicroBatch {
  /** `[batch * time]`, 0 at padding. */
  readonly inputIds: Int32Array;
  /** `[batch * time]`, not shifted: `labels[t]` belongs to `inputIds[t]`; -100 is ignored and stands at padding. */
  readonly labels: Int32Array;
  readonly batch: number;
  readonly time: number;
  /** Tokens of each row without padding. */
  readonly lengths: readonly number[];
  /** The rows lie one after the other in a single one, so `batch` is 1. */
  readonly packed?: boolean;
  /** How much each supervised token's loss counts in the gradient, in the order of `StepResult.tokenLoss`; left out, 1 each. */
  readonly weights?: Float32Array;
}

/** Gives rows in the groups that are micro-batches, in order. */
export function microBatches<T extends LabelledTokens>(rows: Iterable<T>, { packing, batchSize }: BatchRecipe): Generator<T[]> {
  return packing ? packsOf(rows) : groupsOf(rows, batchSize);
}

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

/** Lays rows end to end in one, each beginning anew: no token sees another row, and none is asked to predict one. */
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

/** Gives rows in order, as many together as `capacity` tokens hold, and longer ones alone. */
export function* packsOf<T extends LabelledTokens>(rows: Iterable<T>, capacity = packCapacity): Generator<T[]> {
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

/** Gives rows in order, `size` together, and at the end what is left. */
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

/** Finds where each row of a batch begins and how many tokens it has. */
export function rowPlaces({ lengths, time, packed }: MicroBatch): { readonly start: number; readonly length: number }[] {
  let end = 0;
  return lengths.map((length, row) => {
    const start = packed === true ? end : row * time;
    end = start + length;
    return { start, length };
  });
}

/** Gives for each token of packed rows where its row begins; what fills up is a row of its own. */
export function startsOfTokens(batch: MicroBatch): Int32Array {
  const rows = rowPlaces(batch);
  const { start, length } = rows.at(-1)!;
  const starts = new Int32Array(batch.time).fill(start + length);
  for (const row of rows) starts.fill(row.start, row.start, row.start + row.length);
  return starts;
}

/** Lists the flat positions whose next token is supervised, that token, and their rows. */
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

/** Pads a batch on the right to a larger size, as a graph takes it: the rows it gains are empty. */
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
