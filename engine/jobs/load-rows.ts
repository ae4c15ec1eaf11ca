/** Loads the rows of a job: all of them as tokens, or the first ones with their text. */
import type { DataFormat } from '../contract.ts';
import type { Day } from '../data/day.ts';
import { Sketches } from '../data/checks/sketch.ts';
import { RowFindings } from '../data/row-facts.ts';
import { changedFiles, type RowFiles } from '../data/row-files.ts';
import { RowStore, type StoredRow } from '../data/row-store.ts';
import type { RowCache, RowOrProblem, RowReading, TokenRow, UnusedColumn } from '../data/row.ts';
import { openRows } from '../data/open-rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { hashFile } from '../formats/files.ts';
import type { OpenModel } from '../models/open.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { JobPort } from './port.ts';
import { followJob, readUnchanged } from './reading.ts';

export interface LoadedRows {
  /**
   * Lists the examples that are trained on: several for a conversation if the chat template writes earlier turns differently.
   */
  readonly rows: readonly StoredRow[];
  /** Lists the first examples with text and messages, as many as were requested. */
  readonly whole: readonly TokenRow[];
  /** Gives the number of rows of the data, including those left out. */
  readonly read: number;
  readonly format: DataFormat;
  readonly hash: string;
  /** Holds the SHA-256 of each file. */
  readonly hashes: readonly string[];
  /** Lists the files that differ from those of the version that was requested. */
  readonly changed: readonly string[];
  /** Gives the number of rows that could not be used and were left out. */
  readonly skipped: number;
  readonly unused: readonly UnusedColumn[];
  readonly findings: RowFindings;
  /** Holds the sketches of rows with enough words, to find those that are nearly the same; the key of each is its index. */
  readonly sketches: Sketches;
  /** Says why the tokens could not be kept for the next job, or is null when they are, or were not to be. */
  readonly notKept: string | null;
}

export interface LoadRowsOptions {
  readonly skipBadRows: boolean;
  /** Gives the number of tokens that are kept of each example, from its beginning. If it is left out, all are kept. */
  readonly maxTokens?: number;
  /** Gives the number of examples that are wanted with their text and messages. */
  readonly whole: number;
  readonly day: Day | undefined;
  /** Holds the place where tokens are kept from job to job. */
  readonly cache: RowCache;
}

/**
 * Reads rows with the date of `day`, reports progress, and ends when a stop is requested. A row that cannot be used ends the
 * job unless bad rows are to be left out. Only tokens are held in memory. With `whole` infinite the files are read for the text
 * of all rows, because kept tokens have no text.
 */
export async function loadRows(
  files: RowFiles,
  model: OpenModel,
  tokenizer: Tokenizer | null,
  { skipBadRows, maxTokens, whole, day, cache, ...settings }: LoadRowsOptions & Partial<RowSettings>,
  port: JobPort,
): Promise<LoadedRows> {
  const source = openRows(files, tokenizer, model.spec.vocabularySize, { ...settings, day }, cache);
  // Every part of a document is trained, if the settings say so.
  const store = new RowStore(maxTokens, settings.longDocuments === 'split' ? Number.POSITIVE_INFINITY : maxTokens);
  const findings = new RowFindings(tokenizer);
  const sketches = new Sketches();
  const first: TokenRow[] = [];
  let read = 0;
  let bad = 0;
  let problem: ProblemValue | null = null;
  const keep = (row: readonly RowOrProblem[]): void => {
    read++;
    const examples = row.filter((example): example is TokenRow => 'inputIds' in example);
    if (examples.length === 0) {
      bad++;
      if ('problem' in row[0]!) problem ??= row[0].problem;
      return;
    }
    // What is found out about a row holds for its copies.
    const { copy, said, index } = examples[0]!;
    if (copy === 0) findings.add(examples);
    if (copy === 0 && said?.sketch !== undefined) sketches.add(said.sketch, index, index);
    for (const example of examples) {
      store.add(example);
      if (whole === Infinity) first.push(example);
    }
  };
  const follow = followJob('Reading the data', port);
  const reading = async () => {
    if (whole === Infinity) return { ...(await source.readWhole(keep, follow)), notKept: null };
    const summary = await source.read(keep, follow);
    for (const row of firstOfParts(store.rows, whole))
      for (const one of await source.page(row, 1, follow)) if ('inputIds' in one && first.length < whole) first.push(one);
    return summary;
  };
  const { format, hash, hashes, unused, notKept } = await readUnchanged(files.paths, reading);
  const failed = problem as ProblemValue | null;
  if (failed !== null && (!skipBadRows || store.rows.length === 0)) {
    const more = bad === 1 ? '' : ` In all, ${bad} of ${read} rows cannot be used.`;
    const skip = store.rows.length === 0 || skipBadRows ? '' : ' With --skip-bad-rows such rows are left out.';
    throw Problem.fromValue({ ...failed, message: failed.message + more, hint: failed.hint + skip });
  }
  return {
    rows: store.rows,
    whole: first,
    read,
    format,
    hash,
    hashes,
    changed: changedFiles(files, hashes),
    skipped: bad,
    unused,
    findings,
    sketches,
    notKept,
  };
}

/** Returns the indices of the rows of the first `count` examples. Those of a mix are of each of its parts in turn. */
function firstOfParts(rows: readonly StoredRow[], count: number): ReadonlySet<number> {
  const byPart = new Map<number, StoredRow[]>();
  for (const row of rows) {
    const own = byPart.get(row.mixPart) ?? [];
    byPart.set(row.mixPart, own);
    if (own.length < count) own.push(row);
  }
  const inTurn = Array.from({ length: count }, (_, i) => [...byPart.values()].flatMap((own) => own[i] ?? [])).flat();
  return new Set(inTurn.slice(0, count).map(({ index }) => index));
}

/** Gives the number of rows that are read at a time when only the first rows are wanted. */
const rowsOfPage = 64;

export interface FirstRowsOptions extends RowReading {
  readonly count: number;
  readonly isOfUse?: (row: TokenRow) => boolean;
}

/**
 * Reads the first rows that can be used and that `isOfUse` accepts, with text and messages, and says which files have changed.
 * Rows after these are not read.
 */
export async function firstRows(
  files: RowFiles,
  model: OpenModel,
  tokenizer: Tokenizer | null,
  { count, isOfUse = () => true, ...reading }: FirstRowsOptions,
  port: JobPort,
): Promise<{ readonly rows: TokenRow[]; readonly changed: readonly string[] }> {
  const { paths, hashes: wanted = {} } = files;
  const source = openRows(files, tokenizer, model.spec.vocabularySize, reading);
  const follow = followJob('Reading the data', port);
  const rows: TokenRow[] = [];
  for (let offset = 0; rows.length < count && offset < (source.total ?? Infinity); offset += rowsOfPage)
    for (const row of await source.page(offset, rowsOfPage, follow)) if ('inputIds' in row && isOfUse(row)) rows.push(row);
  const named = paths.filter((path) => wanted[path] !== undefined);
  const hashes = await Promise.all(named.map((path) => hashFile(path)));
  return { rows: rows.slice(0, count), changed: changedFiles({ ...files, paths: named }, hashes) };
}
