/** Which rows are taken by what a person has done to them, and on which side of a split each one is. Nothing on the disk is changed. */
import { createHash } from 'node:crypto';
import type { DataChange, SourceRow, Split } from '../contract.ts';
import { sizeOf, sizeOfAll } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import { Column } from './column.ts';
import { readRecords } from './readers/index.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';
import { hashOf, textOf } from './record-hash.ts';
import { rewritings, rewrittenRecord } from './rewriting.ts';
import { positionOf, type ReadingWatch } from './row.ts';

type SplitChange = Extract<DataChange, { kind: 'split' }>;

type RowsOfFile = Extract<DataChange, { kind: 'exclude' }>['files'][number];

/** The files that rows are chosen from, and how. */
export interface ChosenFrom {
  readonly paths: readonly string[];
  /** The side that is meant, where the changes split the rows. */
  readonly split: Split;
  readonly changes: readonly DataChange[];
}

/** Records between two tellings of how far a reading is. */
const recordsBetweenTellings = 1024;

/** Returns the split among changes: there is one at most. */
export function splitOf(changes: readonly DataChange[] = []): SplitChange | null {
  return changes.find((change) => change.kind === 'split') ?? null;
}

/** Returns the changes with another one. A new split takes the place of the one before. */
export function withChange(changes: readonly DataChange[], change: DataChange): readonly DataChange[] {
  return [...(change.kind === 'split' ? changes.filter(({ kind }) => kind !== 'split') : changes), change];
}

/** Which rows of some files are taken, counted over all files from 0. */
export class RowChoice {
  readonly #isTaken: Uint8Array;
  readonly #rows: Uint32Array;

  constructor(isTaken: Uint8Array) {
    this.#isTaken = isTaken;
    this.#rows = Uint32Array.from({ length: isTaken.reduce((sum, one) => sum + one, 0) });
    let taken = 0;
    isTaken.forEach((one, row) => {
      if (one === 1) this.#rows[taken++] = row;
    });
  }

  /** Rows that are taken. */
  get count(): number {
    return this.#rows.length;
  }

  has(row: number): boolean {
    return this.#isTaken[row] === 1;
  }

  /** Returns the row of the files that is the `number`th one taken, from 0. */
  rowOf(number: number): number | undefined {
    return this.#rows[number];
  }

  /** Returns which one of those that are taken a row is, from 0; null where it is not. */
  numberOf(row: number): number | null {
    if (!this.has(row)) return null;
    let [from, to] = [0, this.#rows.length - 1];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#rows[middle]! < row) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** Stand in place of a rank for rows that are left out, and for those that no split moves. */
const leftOut = -2;
const unmoved = -1;

/** Reads all records and chooses rows by the changes. Throws a Problem where no row is left, or where rows cannot be split as they should be. */
export async function chooseRows({ paths, split, changes }: ChosenFrom, watch: ReadingWatch = () => {}): Promise<RowChoice> {
  const isOut = outsiders(changes);
  const divided = splitOf(changes);
  const by = divided?.by;
  const ranks = new Column(Float64Array);
  let hasColumn = false;
  for await (const { path, row, record } of allRecords(paths, watch)) {
    hasColumn ||= by !== undefined && 'value' in record && Object.hasOwn(record.value, by);
    const group = divided === null ? null : groupOf(record, by);
    ranks.add(isOut(path, row, record) ? leftOut : group === null ? unmoved : rankOf(divided!.seed, group));
  }
  if (by !== undefined && !hasColumn)
    throw new Problem(
      'data-invalid',
      `No row of ${paths.join(', ')} has a column '${by}'.`,
      'Split by a column that is there.',
    );
  const held = divided === null ? new Set<number>() : heldBack(ranks, divided);
  const side = divided === null ? 'train' : split;
  const choice = new RowChoice(
    Uint8Array.from({ length: ranks.length }, (_, row) => {
      const rank = ranks.at(row);
      return rank !== leftOut && held.has(rank) === (side === 'eval') ? 1 : 0;
    }),
  );
  if (choice.count === 0)
    throw new Problem(
      'data-empty',
      `No row of ${paths.join(', ')} is left: all ${ranks.length} are left out.`,
      'Go back to a version with rows.',
    );
  return choice;
}

type IsOut = (path: string, row: number, record: RecordOrProblem) => boolean;

/** Returns what says whether a row is left out; rows come in their order. */
function outsiders(changes: readonly DataChange[]): IsOut {
  const tests = changes.flatMap((change): IsOut | [] => {
    switch (change.kind) {
      case 'split':
        return [];
      case 'exclude':
        return excluded(change.files);
      case 'deduplicate':
        return repeated(changes);
      case 'edit':
      case 'replace':
        return [];
    }
  });
  return (path, row, record) => tests.some((isOut) => isOut(path, row, record));
}

function excluded(of: readonly RowsOfFile[]): IsOut {
  const files = new Map(of.map(({ path, rows }) => [path, new Map(rows.map(({ row, hash }) => [row, hash]))]));
  return (path, row, record) => {
    const hash = files.get(path)?.get(row);
    // In a file that has changed another row may have the number.
    return hash !== undefined && hash === hashOf(record);
  };
}

/** Every row but the first of those that are the same, as they are written by now. */
function repeated(changes: readonly DataChange[]): IsOut {
  const seen = new Set<string>();
  const anew = rewritings(changes);
  return (path, row, read) => {
    const record = rewrittenRecord(anew, path, row, read);
    if (!('value' in record)) return false;
    const hash = hashOf(record);
    if (seen.has(hash)) return true;
    seen.add(hash);
    return false;
  };
}

/**
 * Returns the ranks of the groups that are held back: in their order each one that leaves no more rows held back than are wanted. Where
 * every group has more rows than that it is the smallest one. A row that cannot be read is trained on: there its problem is told.
 */
function heldBack(ranks: Column, { fraction, by }: SplitChange): ReadonlySet<number> {
  const sizes = new Map<number, number>();
  let all = 0;
  for (let row = 0; row < ranks.length; row++) {
    const rank = ranks.at(row);
    if (rank < 0) continue;
    sizes.set(rank, (sizes.get(rank) ?? 0) + 1);
    all++;
  }
  if (sizes.size < 2)
    throw new Problem(
      'data-invalid',
      by === undefined
        ? `Rows cannot be held back: ${all === 0 ? 'there is none that can be read' : all === 1 ? 'there is one alone' : `all ${all} are the same`}.`
        : `Rows cannot be held back by the column '${by}': it is the same in all of them.`,
      'Rows to train on and rows to evaluate on must be different ones.',
    );
  const wanted = Math.max(1, Math.round(fraction * all));
  const held = new Set<number>();
  const inOrder = Float64Array.from(sizes.keys()).sort();
  let rows = 0;
  for (const rank of inOrder) {
    const size = sizes.get(rank)!;
    if (rows + size > wanted || held.size === sizes.size - 1) continue;
    held.add(rank);
    rows += size;
  }
  if (held.size === 0) held.add(inOrder.reduce((least, rank) => (sizes.get(rank)! < sizes.get(least)! ? rank : least)));
  return held;
}

/** Returns what rows have in common that stay on one side: the column, or all of the row. Null: the row cannot be read. */
function groupOf(record: RecordOrProblem, by: string | undefined): string | null {
  if (!('value' in record)) return null;
  const value = by === undefined ? record.value : record.value[by];
  // A row without the column is a group of its own.
  return value === undefined || value === null ? `row ${textOf(record.value)}` : `value ${textOf(value)}`;
}

/** Returns the place of a group in the order in which groups are held back: by its content and the seed, the same wherever it is read. */
function rankOf(seed: number, group: string): number {
  return createHash('sha256').update(`${seed}\n${group}`).digest().readUIntBE(0, 6);
}

interface RecordOfFile {
  readonly path: string;
  /** Of the file, from 0. */
  readonly row: number;
  readonly record: RecordOrProblem;
}

/** Yields the records of files as they are there: no mapping is applied. */
async function* allRecords(paths: readonly string[], watch: ReadingWatch): AsyncGenerator<RecordOfFile> {
  const totalBytes = sizeOfAll(paths);
  let before = 0;
  let rows = 0;
  for (const path of paths) {
    const tell = (place: RecordPlace) => watch(positionOf({ rows, before, totalBytes, file: path }, place));
    let row = 0;
    for await (const record of readRecords(path, { onNothing: tell })) {
      if (row % recordsBetweenTellings === 0) await tell(record);
      yield { path, row, record };
      row++;
      rows++;
    }
    before += sizeOf(path);
  }
}

/** Returns rows of files by file, number and content; `rows` counts over all files. */
export async function sourceRows(
  paths: readonly string[],
  rows: ReadonlySet<number>,
  watch: ReadingWatch,
): Promise<readonly RowsOfFile[]> {
  const found = new Map<string, SourceRow[]>();
  let number = 0;
  for await (const { path, row, record } of allRecords(paths, watch)) {
    if (!rows.has(number++)) continue;
    const own = found.get(path) ?? [];
    found.set(path, own);
    own.push({ row, hash: hashOf(record) });
  }
  return [...found].map(([path, own]) => ({ path, rows: own }));
}

/**
 * Returns the changes for files that may be others by now: a row that is meant is found again by its content where it has another number,
 * and one that is no longer there is dropped.
 */
export async function foundAgain(
  changes: readonly DataChange[],
  paths: readonly string[],
  watch: ReadingWatch,
): Promise<readonly DataChange[]> {
  const meant = changes.flatMap((change): RowsOfFile[] => {
    if (change.kind === 'edit') return [{ path: change.path, rows: [change.row] }];
    return change.kind === 'exclude' ? [...change.files] : [];
  });
  if (meant.length === 0) return changes;
  const wanted = new Map<string, Set<string>>();
  for (const { path, rows } of meant) for (const { hash } of rows) wanted.set(path, (wanted.get(path) ?? new Set()).add(hash));
  const there = new Map<string, Map<string, number[]>>();
  for await (const { path, row, record } of allRecords(paths, watch)) {
    const hashes = wanted.get(path);
    const hash = hashes && hashOf(record);
    if (hash === undefined || !hashes!.has(hash)) continue;
    const own = there.get(path) ?? new Map<string, number[]>();
    there.set(path, own.set(hash, [...(own.get(hash) ?? []), row]));
  }
  const taken = new Set<string>();
  const again = (path: string, rows: readonly SourceRow[]): SourceRow[] => {
    const rowsOf = (hash: string): readonly number[] => there.get(path)?.get(hash) ?? [];
    const kept = rows.filter(({ row, hash }) => rowsOf(hash).includes(row));
    for (const { row } of kept) taken.add(`${row} ${path}`);
    const moved = rows.flatMap((one): SourceRow[] => {
      if (kept.includes(one)) return [];
      const row = rowsOf(one.hash).find((each) => !taken.has(`${each} ${path}`));
      if (row === undefined) return [];
      taken.add(`${row} ${path}`);
      return [{ row, hash: one.hash }];
    });
    return [...kept, ...moved];
  };
  return changes.flatMap((change): DataChange[] => {
    if (change.kind === 'edit') return again(change.path, [change.row]).map((row) => ({ ...change, row }));
    if (change.kind !== 'exclude') return [change];
    const files = change.files
      .map(({ path, rows }) => ({ path, rows: again(path, rows) }))
      .filter(({ rows }) => rows.length > 0);
    return files.length === 0 ? [] : [{ kind: 'exclude', files }];
  });
}
