/**
 * Reads the rows of a data set for one model, in sequence or page by page, from the files or as an earlier reading has kept them.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DataFormat } from '../contract.ts';
import { sizeOf, sizeOfAll, stampOf } from '../formats/files.ts';
import type { LabelledTokens } from '../labels.ts';
import type { ProblemValue } from '../problem.ts';
import { defaultRecipe, rowSettings } from '../recipe.ts';
import { chooseRows, type RowChoice } from './changes.ts';
import { detectFormat } from './content.ts';
import { keptRowsVersion, KeptRowsWriter, readKeptPlaces, readKeptRows } from './kept-rows.ts';
import { fileBytes, requireFile } from './readers/bytes.ts';
import { readRecords } from './readers/index.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';
import { type Rewriting, rewriteOf, rewritings } from './rewriting.ts';
import { RowEncoder } from './row-encoder.ts';
import { hashOfHashes, noRow, type RowFiles } from './row-files.ts';
import { RowIndex } from './row-index.ts';
import {
  type Marks,
  type OnRow,
  type PlaceInData,
  positionOf,
  type ReadingWatch,
  type RowCache,
  type RowOrProblem,
  type RowReading,
  type Rows,
  type RowsSummary,
  type SomeRecords,
  type TokensSummary,
  unmarked,
} from './row.ts';
import { printsDay } from './template.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Limits how many rows are encoded at the same time. The tokenizer takes some hundred bytes of memory for each byte of text.
 */
const maxBatchRows = 32;
const maxBatchBytes = 1 << 20;
/** So many rows are read up to a page before it is asked whether an earlier reading knows where they begin. */
const rowsReadUpTo = 4096;
/** While files are hashed, progress is reported each time this many bytes have been read. */
const hashedBytesBetweenTellings = 1 << 24;
const millisecondsBetweenTellings = 5000;

/**
 * Reads the rows of files for one model: all of them in sequence, or a page from the middle. It holds no rows in memory, only
 * where each begins. With a cache, the tokens of all rows are made once and kept there.
 */
export class RowSource implements Rows {
  readonly #paths: readonly string[];
  readonly #mapping: Pick<RowFiles, 'mapping'>;
  /** Chooses rows, where not all rows of the files are wanted. `#choice` holds them once all have been examined. */
  readonly #choose: ChooseRows | null;
  readonly #rewritings: readonly Rewriting[];
  #choice: RowChoice | null = null;
  readonly #cache: RowCache | null;
  /**
   * Holds what decides the tokens besides the content of the files. It is null where the tokens differ each time, because a
   * template prints the time.
   */
  readonly #decidedBy: readonly unknown[] | null;
  readonly #newEncoder: (keepText: boolean) => RowEncoder;
  readonly #index = new RowIndex();
  #hasLooked = false;
  #viewer: RowEncoder | undefined;
  #total: number | null = null;

  /** `choose` is given where it is not the changes alone that decide which rows are meant. */
  constructor(
    { paths, mapping, changes = [], split = 'train' }: RowFiles,
    tokenizer: Tokenizer | null,
    vocabularySize: number,
    { day, ...given }: RowReading = {},
    cache: RowCache | null = null,
    choose: ChooseRows | null = null,
  ) {
    this.#paths = paths;
    this.#mapping = mapping === undefined ? {} : { mapping };
    this.#rewritings = rewritings(changes);
    const isAll = changes.length === this.#rewritings.length;
    this.#choose = choose ?? (isAll ? null : (watch) => chooseRows({ paths, changes, split }, watch));
    this.#cache = cache;
    const settings = rowSettings({ ...defaultRecipe(), ...given });
    const printed = printsDay(tokenizer) ? day : null;
    // The paths count too, because file endings decide formats and problems name files.
    this.#decidedBy =
      printed === undefined
        ? null
        : [keptRowsVersion, cache?.decidedBy, vocabularySize, printed, settings, mapping ?? null, paths, ...this.#rewritings];
    this.#newEncoder = (keepText) => new RowEncoder(tokenizer, vocabularySize, { keepText, day, mapping, settings });
  }

  get total(): number | null {
    return this.#total;
  }

  async read(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<TokensSummary> {
    const choice = await this.#chosen(watch);
    if (this.#cache === null || this.#decidedBy === null) {
      const { summary } = await this.#encode(numbered(onRow, choice), watch, { keepText: false, only: choice });
      return { ...summary, notKept: null };
    }
    const stamp = stampOf(this.#paths);
    const hashes = await this.#hashes(watch);
    const { path, key } = keptAt(this.#cache, this.#decidedBy, hashes);
    let done = 0;
    const handOn = numbered(onRow, choice);
    const handOver: OnRow = (examples) => {
      done++;
      handOn(examples);
    };
    const kept = await this.#readKept(path, key, handOver, watch);
    if (kept !== null) return { ...kept, notKept: null };

    // All rows are kept: those that are left out now are on the other side of a split, or in the version before. A few of many are not.
    const only = choice?.isSmall === true ? choice : null;
    const writer = only === null ? new KeptRowsWriter(path, key) : null;
    try {
      let row = 0;
      const keep = (examples: readonly RowOrProblem[], file: number, place: RecordPlace): void => {
        writer?.add(file, { ...place, made: examples.map(keptOf) });
        // Rows passed on before a kept file was found to be damaged were verified.
        if (row++ >= done) handOn(examples);
      };
      const { summary, isRepeatable } = await this.#encode(keep, watch, { keepText: false, only });
      // The files may have changed between hashing and reading.
      const isSame = stampOf(this.#paths) === stamp && summary.hashes.every((hash, i) => hash === hashes[i]);
      if (isSame && isRepeatable) writer?.finish(summary);
      return { ...summary, notKept: writer?.failure ?? null };
    } finally {
      writer?.abort();
    }
  }

  async readWhole(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<RowsSummary> {
    const only = await this.#chosen(watch);
    return (await this.#encode(numbered(onRow, only), watch, { keepText: true, only })).summary;
  }

  /** Returns the rows that are chosen, or null for all of them. Afterwards the place of each row is known. */
  async #chosen(watch: ReadingWatch): Promise<RowChoice | null> {
    if (this.#choose !== null && this.#choice === null) {
      this.#choice = await this.#choose(watch);
      this.#total = this.#choice.count;
    }
    return this.#choice;
  }

  async #readKept(path: string, key: string, onRow: OnRow, watch: ReadingWatch): Promise<RowsSummary | null> {
    const totalBytes = sizeOfAll(this.#paths);
    let row = 0;
    const summary = await readKeptRows(path, key, async ({ file: number, rows }) => {
      const file = this.#paths[number]!;
      const [first, last] = [rows[0]!, rows.at(-1)!];
      const bytes = sizeOfAll(this.#paths.slice(0, number)) + Math.min(first.at, sizeOf(file));
      await watch({ rows: row, bytes, totalBytes, file, firstLine: first.line, lastLine: last.line });
      for (const { line, at, made } of rows) {
        this.#index.add(row, number, { line, at });
        onRow(made.map((one) => fromKept(one, { index: row, file, line, mixPart: 0, copy: 0 })));
        row++;
      }
    });
    if (summary !== null) this.#total = this.#choice?.count ?? row;
    return summary as RowsSummary | null;
  }

  /** Takes from what an earlier reading has kept where rows begin, once: pages far down are then read without those before them. */
  async #findPlaces(watch: ReadingWatch): Promise<void> {
    if (this.#hasLooked || this.#cache === null || this.#decidedBy === null) return;
    this.#hasLooked = true;
    const { path, key } = keptAt(this.#cache, this.#decidedBy, await this.#hashes(watch));
    const places = (await readKeptPlaces(path, key)) ?? [];
    const firstOf = Map.groupBy(places, ({ file }) => file);
    for (const { row, file, ...place } of places)
      this.#index.mark({ row, file, rowOfFile: row - firstOf.get(file)![0]!.row, place });
  }

  /** Returns the SHA-256 of each file. */
  async #hashes(watch: ReadingWatch): Promise<readonly string[]> {
    const totalBytes = sizeOfAll(this.#paths);
    const hashes: string[] = [];
    for (const file of this.#paths) {
      const hash = createHash('sha256');
      let told = 0;
      // This refuses a path that is not a file in the same words as reading does.
      requireFile(file);
      for await (const { at } of fileBytes(file, 0, hash)) {
        if (at - told < hashedBytesBetweenTellings) continue;
        told = at;
        await watch({ rows: 0, bytes: 0, totalBytes, file, firstLine: 1, lastLine: 1 });
      }
      hashes.push(hash.digest('hex'));
    }
    return hashes;
  }

  async #encode(
    onRow: (examples: readonly RowOrProblem[], file: number, place: RecordPlace) => void,
    watch: ReadingWatch,
    { keepText, only }: { readonly keepText: boolean; readonly only: RowChoice | null },
  ): Promise<{ readonly summary: RowsSummary; readonly isRepeatable: boolean }> {
    const encoder = this.#newEncoder(keepText);
    const hashes: string[] = [];
    const totalBytes = sizeOfAll(this.#paths);
    let format: DataFormat | null = null;
    let rows = 0;
    let before = 0;
    for (const [number, file] of this.#paths.entries()) {
      const hash = createHash('sha256');
      const onNothing = (place: RecordPlace) => watch(positionOf({ rows, before, totalBytes, file }, place));
      for await (const batch of inBatches(
        readRecords(file, { hash, onNothing, ...this.#mapping, ...rewriteOf(this.#rewritings, file) }),
      )) {
        const at = positionOf({ rows, before, totalBytes, file }, batch[0]!, batch.at(-1)!);
        const tell = () => watch(at);
        await tell();
        for (const [i, record] of batch.entries()) {
          this.#index.add(rows + i, number, record);
          if ('value' in record) format ??= detectFormat(record.value);
        }
        const encode = (record: RecordOrProblem, i: number): Promise<readonly RowOrProblem[]> =>
          only === null || only.times(rows + i) > 0 ? encoder.encode(record, file, rows + i) : Promise.resolve([]);
        const encoded = await watched(Promise.all(batch.map(encode)), tell);
        encoded.forEach((examples, i) => onRow(examples, number, { line: batch[i]!.line, at: batch[i]!.at }));
        rows += batch.length;
      }
      before += sizeOf(file);
      hashes.push(hash.digest('hex'));
    }
    if (rows === 0) throw noRow(this.#paths);
    this.#total = this.#choice?.count ?? rows;
    const summary = {
      ...{ format: format ?? ('unknown' as const), formats: encoder.counts.formats, hash: hashOfHashes(hashes), hashes },
      unused: encoder.counts.unused,
      repeated: encoder.counts.repeated,
    };
    return { summary, isRepeatable: encoder.isRepeatable };
  }

  async page(offset: number, limit: number, watch: ReadingWatch = () => {}): Promise<readonly RowOrProblem[]> {
    const encoder = (this.#viewer ??= this.#newEncoder(true));
    const examples: RowOrProblem[] = [];
    for await (const { file, records, tell } of this.records(offset, watch)) {
      const inPage = records.filter(({ index }) => index >= offset && index < offset + limit);
      const encoded = await watched(Promise.all(inPage.map(({ record, index }) => encoder.encode(record, file, index))), tell);
      for (const [i, { copy }] of inPage.entries()) examples.push(...encoded[i]!.map((one) => ({ ...one, copy })));
      if ((records.at(-1)?.index ?? -1) >= Math.min(offset + limit, this.#choice?.count ?? Infinity) - 1) break;
    }
    return examples;
  }

  async *records(offset: number, watch: ReadingWatch = () => {}): AsyncGenerator<SomeRecords> {
    const choice = await this.#chosen(watch);
    const totalBytes = sizeOfAll(this.#paths);
    // The index is of the rows of the files, and rows are numbered among those that are meant.
    const first = choice === null ? offset : (choice.rowOf(offset) ?? choice.rowOf(choice.count - 1)!);
    if (first - this.#index.nearest(first).row > rowsReadUpTo) await this.#findPlaces(watch);
    const start = this.#index.nearest(first);
    // A row that is taken several times has a number for each.
    const numbersOf = (row: number): readonly Pick<PlaceInData, 'index' | 'copy'>[] => {
      if (choice === null) return [{ index: row, copy: 0 }];
      const first = choice.numberOf(row) ?? 0;
      return Array.from({ length: choice.times(row) }, (_, copy) => ({ index: first + copy, copy }));
    };
    let { row } = start;
    let before = sizeOfAll(this.#paths.slice(0, start.file));
    for (const [number, file] of [...this.#paths.entries()].slice(start.file)) {
      const from = number === start.file ? start.place : null;
      const passed = Math.max(0, first - row);
      const passOver = { rows: passed };
      const rowOfFile = (number === start.file ? start.rowOfFile : 0) + passed;
      const rewrite = rewriteOf(this.#rewritings, file, rowOfFile);
      const onNothing = (place: RecordPlace) => watch(positionOf({ rows: row, before, totalBytes, file }, place));
      let isFirst = true;
      for await (const batch of inBatches(readRecords(file, { from, passOver, onNothing, ...this.#mapping, ...rewrite }))) {
        if (isFirst) {
          isFirst = false;
          row += passed;
          if (passed > 0) this.#index.mark({ row, file: number, rowOfFile, place: { line: batch[0]!.line, at: batch[0]!.at } });
        }
        const at = positionOf({ rows: row, before, totalBytes, file }, batch[0]!, batch.at(-1)!);
        const tell = () => watch(at);
        await tell();
        batch.forEach((record, i) => this.#index.add(row + i, number, record));
        const records = batch.flatMap((record, i) => numbersOf(row + i).map((numbers) => ({ record, ...numbers })));
        row += batch.length;
        yield { file, records, tell };
      }
      if (isFirst) row += passed - passOver.rows;
      before += sizeOf(file);
    }
    if (row === 0) throw noRow(this.#paths);
    this.#total = choice?.count ?? row;
  }
}

/**
 * Returns a function that passes on the chosen rows only, numbered among themselves. It must be called for rows in the order of
 * the files.
 */
function numbered(onRow: OnRow, choice: RowChoice | null): OnRow {
  if (choice === null) return onRow;
  let row = 0;
  let index = 0;
  return (examples) => {
    const times = choice.times(row++);
    for (let copy = 0; copy < times; copy++, index++) onRow(examples.map((example) => ({ ...example, index, copy })));
  };
}

/** Returns where rows are kept, and the key of what decides them. */
function keptAt({ folder }: RowCache, decidedBy: readonly unknown[], hashes: readonly string[]): { path: string; key: string } {
  const key = createHash('sha256')
    .update(JSON.stringify([...decidedBy, hashes]))
    .digest('hex');
  return { path: join(folder, key), key };
}

/** Returns an example or a problem as it is kept: without what its place implies, and without marks that say nothing. */
function keptOf(one: RowOrProblem): object {
  if ('problem' in one) return { problem: one.problem };
  const { index: _, file: __, line: ___, mixPart: ____, copy: _____, messages: ______, text: _______, ...kept } = one;
  const { inputIds, labels, ...marks } = kept;
  const said = Object.entries(marks satisfies Marks).filter(
    ([name, mark]) => mark !== unmarked[name as keyof Marks] && !(Array.isArray(mark) && mark.length === 0),
  );
  return { inputIds, labels, ...Object.fromEntries(said) };
}

function fromKept(kept: object, place: PlaceInData): RowOrProblem {
  if ('problem' in kept) return { problem: kept.problem as ProblemValue, ...place };
  return { ...place, ...unmarked, messages: null, text: '', ...(kept as LabelledTokens & Partial<Marks>) };
}

/**
 * Reports progress repeatedly while work lasts, because a single row may have millions of characters and the reading may be
 * cancelled meanwhile.
 */
async function watched<T>(work: Promise<T>, tell: () => void | Promise<void>): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const again = () => void Promise.resolve().then(tell).catch(reject);
  const timer = setInterval(again, millisecondsBetweenTellings);
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearInterval(timer);
  }
}

/** Chooses rows of files, once all have been looked at. */
export type ChooseRows = (watch: ReadingWatch) => Promise<RowChoice>;

/** Yields batches of records that are encoded at the same time. */
async function* inBatches(records: AsyncIterable<RecordOrProblem>): AsyncGenerator<readonly RecordOrProblem[]> {
  let batch: RecordOrProblem[] = [];
  let bytes = 0;
  for await (const record of records) {
    batch.push(record);
    bytes += record.bytes;
    if (batch.length < maxBatchRows && bytes <= maxBatchBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}
