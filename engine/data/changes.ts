/** Decides which rows a person's changes keep, and on which side of a split each one is. Files are never changed. */
import { createHash } from 'node:crypto';
import type { DataChange, SourceRow, Split } from '../contract.ts';
import { sizeOf, sizeOfAll } from '../formats/files.ts';
import { fieldAt } from '../mapped-text.ts';
import { Problem } from '../problem.ts';
import { Column } from './column.ts';
import { readRecords } from './readers/index.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';
import { hashOf, textOf } from './record-hash.ts';
import { type Rewriting, rewritings, rewrittenRecord } from './rewriting.ts';
import { positionOf, type ReadingWatch } from './row.ts';

type SplitChange = Extract<DataChange, { kind: 'split' }>;

export type RowsOfFile = Extract<DataChange, { kind: 'exclude' }>['files'][number];

/** Holds the files that rows are chosen from, and the changes to apply. */
export interface ChosenFrom {
  readonly paths: readonly string[];
  /** Names the side to read where the changes split the rows. */
  readonly split: Split;
  readonly changes: readonly DataChange[];
}

/** Sets how many records are read between two progress reports. */
const recordsBetweenReports = 1024;

/** A choice of fewer rows than one in so many is a small one. */
const smallShare = 4;

/** Returns the split among changes, of which there is at most one. */
export function splitOf(changes: readonly DataChange[] = []): SplitChange | null {
  return changes.find((change) => change.kind === 'split') ?? null;
}

/** Returns the changes with one more. A new split replaces the earlier one. */
export function withChange(changes: readonly DataChange[], change: DataChange): readonly DataChange[] {
  return [...(change.kind === 'split' ? changes.filter(({ kind }) => kind !== 'split') : changes), change];
}

/** Holds which rows of a list of files are taken, and how often. Rows are counted over all files, from 0. */
export class RowChoice {
  readonly #times: Uint8Array | Uint32Array;
  /** Gives the row of the files for each row taken; a row that is taken twice is listed twice. */
  readonly #rows: Uint32Array;

  /** `times` says of each row how often it is taken. */
  constructor(times: Uint8Array | Uint32Array) {
    this.#times = times;
    this.#rows = new Uint32Array(sumOf(times));
    let taken = 0;
    times.forEach((one, row) => {
      this.#rows.fill(row, taken, taken + one);
      taken += one;
    });
  }

  /** Returns the number of rows that are taken, each counted as often as it is. */
  get count(): number {
    return this.#rows.length;
  }

  /** Returns how often a row is taken. */
  times(row: number): number {
    return this.#times[row] ?? 0;
  }

  /** Returns the row of the files that is the `number`th kept row, from 0. */
  rowOf(number: number): number | undefined {
    return this.#rows[number];
  }

  /** Returns the position of a row among the taken rows, from 0, or null where it is left out. A repeated row has its first position. */
  numberOf(row: number): number | null {
    if (this.times(row) === 0) return null;
    let [from, to] = [0, this.#rows.length - 1];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#rows[middle]! < row) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** Returns whether it takes so few of the rows that the others are better not made into tokens. */
  get isSmall(): boolean {
    let rows = 0;
    for (const one of this.#times) if (one > 0) rows++;
    return rows * smallShare < this.#times.length;
  }
}

function sumOf(counts: Iterable<number>): number {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum;
}

/** These values stand in place of a rank for rows that are left out, and for rows that no split moves. */
const leftOut = -2;
const unmoved = -1;

/**
 * Reads all records and chooses rows by the changes. Throws a `Problem` where no row is left, or where the rows cannot be split
 * as asked.
 */
export async function chooseRows({ paths, split, changes }: ChosenFrom, watch: ReadingWatch = () => {}): Promise<RowChoice> {
  const divided = splitOf(changes);
  const ranking = new Ranking(changes, paths);
  for await (const { path, row, record } of allRecords(paths, watch))
    ranking.add({ path, row, record }, { isDivided: divided !== null });
  const held = ranking.heldBack();
  const side = divided === null ? 'train' : split;
  const choice = new RowChoice(
    Uint8Array.from({ length: ranking.length }, (_, row) => (ranking.isTaken(row, held, side) ? 1 : 0)),
  );
  if (choice.count === 0) throw noRowLeft(paths, ranking.length);
  return choice;
}

export function noRowLeft(paths: readonly string[], rows: number): Problem {
  return new Problem(
    'data-empty',
    `No row of ${paths.join(', ')} is left: all ${rows} are left out.`,
    'Go back to a version with rows.',
  );
}

/** Says of rows, one after another, whether changes leave them out, and in which order a split holds them back. */
export class Ranking {
  readonly #leaving: readonly Leaving[];
  readonly #split: SplitChange | null;
  readonly #paths: readonly string[];
  /** One for each row; see above. */
  readonly #ranks = new Column(Float64Array);
  #hasColumn = false;
  #isEnded = false;

  /** `paths` are those of all rows, for messages. */
  constructor(changes: readonly DataChange[], paths: readonly string[]) {
    this.#leaving = leavingOf(changes);
    this.#split = splitOf(changes);
    this.#paths = paths;
  }

  get length(): number {
    return this.#ranks.length;
  }

  /** Takes the next row. `isThere` is false for one that was left out before, `anew` says how it is written by now. */
  add(
    { path, row, record }: RecordOfFile,
    { isDivided, isThere = true, anew = [] }: { isDivided: boolean; isThere?: boolean; anew?: readonly Rewriting[] },
  ): void {
    const split = isDivided ? this.#split : null;
    const by = split?.by;
    this.#hasColumn ||= by !== undefined && 'value' in record && fieldAt(record.value, by) !== undefined;
    const group = split === null ? null : groupOf(record, by);
    for (const leaving of this.#leaving) leaving.add(path, row, record, anew);
    this.#ranks.add(!isThere ? leftOut : group === null ? unmoved : rankOf(split!.seed, group));
  }

  /** Returns the ranks that are held back. Throws a Problem where rows cannot be split as they should be. */
  heldBack(): ReadonlySet<number> {
    this.#end();
    const split = this.#split;
    if (split === null) return new Set();
    if (split.by !== undefined && !this.#hasColumn)
      throw new Problem(
        'data-invalid',
        `No row of ${this.#paths.join(', ')} has a column '${split.by}'.`,
        'Split by a column that is there.',
      );
    return heldBack(this.#ranks, split);
  }

  /** Leaves rows out, change by change, once all rows are known. */
  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const isThere = (row: number): boolean => this.#ranks.at(row) !== leftOut;
    for (const leaving of this.#leaving) for (const row of leaving.rows(this.length, isThere)) this.#ranks.set(row, leftOut);
  }

  /** Returns whether a row, counted as they were added, is on a side. */
  isTaken(row: number, held: ReadonlySet<number>, side: Split): boolean {
    const rank = this.#ranks.at(row);
    return rank !== leftOut && held.has(rank) === (side === 'eval');
  }
}

/** A change that leaves rows out. It is told every row, and says which it leaves out of those that the changes before it have left. */
interface Leaving {
  add(path: string, row: number, record: RecordOrProblem, anew: readonly Rewriting[]): void;
  /** Returns rows, counted as they were added, among the first `length`. */
  rows(length: number, isThere: (row: number) => boolean): Iterable<number>;
}

function leavingOf(changes: readonly DataChange[]): readonly Leaving[] {
  return changes.flatMap((change): Leaving | [] => {
    switch (change.kind) {
      case 'exclude':
        return new Excluded(change.files);
      case 'deduplicate':
        return new Repeated(changes);
      case 'balance':
        return new Beyond(change, changes);
      case 'split':
      case 'edit':
      case 'replace':
        return [];
    }
  });
}

class Excluded implements Leaving {
  readonly #files: ReadonlyMap<string, ReadonlyMap<number, string>>;
  readonly #rows: number[] = [];
  #length = 0;

  constructor(of: readonly RowsOfFile[]) {
    this.#files = new Map(of.map(({ path, rows }) => [path, new Map(rows.map(({ row, hash }) => [row, hash]))]));
  }

  add(path: string, row: number, record: RecordOrProblem): void {
    const hash = this.#files.get(path)?.get(row);
    // The file may have changed, so that another row now has this number.
    if (hash !== undefined && hash === hashOf(record)) this.#rows.push(this.#length);
    this.#length++;
  }

  rows(): readonly number[] {
    return this.#rows;
  }
}

/** Numbers texts in the order in which they first occur. */
class Numbers {
  readonly #known = new Map<string, number>();

  of(text: string): number {
    const number = this.#known.get(text) ?? this.#known.size;
    this.#known.set(text, number);
    return number;
  }
}
/** Stands in place of a number for a row that is compared with no other. */
const alone = 0xffffffff;

/** Leaves out every repetition of an earlier row, compared as changed so far. */
class Repeated implements Leaving {
  readonly #own: readonly Rewriting[];
  readonly #numbers = new Numbers();
  readonly #contents = new Column(Uint32Array);

  constructor(changes: readonly DataChange[]) {
    this.#own = rewritings(changes);
  }

  add(path: string, row: number, read: RecordOrProblem, anew: readonly Rewriting[]): void {
    const record = rewrittenRecord([...anew, ...this.#own], path, row, read);
    this.#contents.add('value' in record ? this.#numbers.of(hashOf(record)) : alone);
  }

  *rows(length: number, isThere: (row: number) => boolean): Generator<number> {
    const seen = new Set<number>();
    for (let row = 0; row < length; row++) {
      const content = this.#contents.at(row);
      if (content === alone || !isThere(row)) continue;
      if (seen.has(content)) yield row;
      else seen.add(content);
    }
  }
}

/**
 * Leaves out the rows beyond `most` with the same value in a column, compared with edits and replacements applied. Those that
 * stay are drawn with the seed; without one, as a studio before chose, they are the first.
 */
class Beyond implements Leaving {
  readonly #change: Extract<DataChange, { kind: 'balance' }>;
  readonly #own: readonly Rewriting[];
  readonly #numbers = new Numbers();
  readonly #values = new Column(Uint32Array);
  readonly #ranks = new Column(Float64Array);

  constructor(change: Extract<DataChange, { kind: 'balance' }>, changes: readonly DataChange[]) {
    this.#change = change;
    this.#own = rewritings(changes);
  }

  add(path: string, row: number, read: RecordOrProblem, anew: readonly Rewriting[]): void {
    const { column, seed } = this.#change;
    const record = rewrittenRecord([...anew, ...this.#own], path, row, read);
    const value = 'value' in record ? fieldAt(record.value, column) : undefined;
    this.#values.add(value === undefined || value === null ? alone : this.#numbers.of(textOf(value)));
    this.#ranks.add(seed === undefined || !('value' in record) ? 0 : rankOf(seed, textOf(record.value)));
  }

  *rows(length: number, isThere: (row: number) => boolean): Generator<number> {
    const rowsOf = new Map<number, number[]>();
    for (let row = 0; row < length; row++) {
      const value = this.#values.at(row);
      if (value === alone || !isThere(row)) continue;
      const rows = rowsOf.get(value);
      if (rows === undefined) rowsOf.set(value, [row]);
      else rows.push(row);
    }
    // Rows of equal rank, such as repetitions, are in their order.
    for (const rows of rowsOf.values())
      yield* rows.toSorted((a, b) => this.#ranks.at(a) - this.#ranks.at(b) || a - b).slice(this.#change.most);
  }
}

/**
 * Returns the ranks of the groups that are held back. Groups are taken in the order of their ranks, each unless it would make
 * more rows held back than asked for. If every group has more rows than that, the smallest one is taken. A row that cannot be
 * read stays with the rows to train on, where its problem is reported.
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

/**
 * Returns what rows have in common that must stay on one side of the split: the value of the column, or the whole row. Returns
 * null where the row cannot be read.
 */
function groupOf(record: RecordOrProblem, by: string | undefined): string | null {
  if (!('value' in record)) return null;
  const value = by === undefined ? record.value : fieldAt(record.value, by);
  // A row without the column forms its own group.
  return value === undefined || value === null ? `row ${textOf(record.value)}` : `value ${textOf(value)}`;
}

/**
 * Returns the rank of a group in an order that decides which rows are held back or drawn. It depends on the group's content and the
 * seed alone, so it is the same wherever the row is read.
 */
export function rankOf(seed: number, group: string): number {
  return createHash('sha256').update(`${seed}\n${group}`).digest().readUIntBE(0, 6);
}

export interface RecordOfFile {
  readonly path: string;
  /** Counts rows within the file, from 0. */
  readonly row: number;
  readonly record: RecordOrProblem;
}

/** Yields the records of files as they are stored, without a mapping. */
export async function* allRecords(paths: readonly string[], watch: ReadingWatch): AsyncGenerator<RecordOfFile> {
  const totalBytes = sizeOfAll(paths);
  let before = 0;
  let rows = 0;
  for (const path of paths) {
    const tell = (place: RecordPlace) => watch(positionOf({ rows, before, totalBytes, file: path }, place));
    let row = 0;
    for await (const record of readRecords(path, { onNothing: tell })) {
      if (row % recordsBetweenReports === 0) await tell(record);
      yield { path, row, record };
      row++;
      rows++;
    }
    before += sizeOf(path);
  }
}

/** Returns the file, number and content of rows. `rows` counts over all files. */
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
 * Returns the changes adapted to files that may have changed. A row whose number has changed is found again by its content; a
 * row that no longer exists is dropped from the changes.
 */
export async function withRowsRelocated(
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
