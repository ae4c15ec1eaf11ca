/**
 * Collects facts about rows one after another, without keeping the rows: findings that concern a single row, and the lengths
 * and keys from which a report at any maximum length is made. This takes about 150 bytes a row.
 */
import { createHash } from 'node:crypto';
import type { DataCheck } from '../contract.ts';
import { type Cutting, ignored, spansOf, supervisedTokens } from '../labels.ts';
import { type AskedRows, type BrokenRows, type ExampleFacts, type JudgingTokenizer, told } from './checks/check.ts';
import { FoundRows } from './checks/found-rows.ts';
import { checks } from './checks/index.ts';
import { LanguageCounts } from './checks/language-counts.ts';
import { Sketches } from './checks/sketch.ts';
import { watchText } from './checks/text-watcher.ts';
import { Column } from './column.ts';
import { RowKeys } from './row-keys.ts';
import type { RowOrProblem, TokenRow } from './row.ts';
import { RowStatistics } from './statistics.ts';

/** Collects the findings that concern single rows. */
export class RowFindings {
  readonly #watched;

  constructor(tokenizer: JudgingTokenizer | null) {
    this.#watched = checks
      .filter((check) => check.looksAt !== 'set')
      .map((check) => ({ check, watcher: check.looksAt === 'text' ? watchText(check) : check.begin(tokenizer) }));
  }

  /** Adds the examples of one row. */
  add(examples: readonly TokenRow[]): void {
    for (const { watcher } of this.#watched) watcher.add(examples);
  }

  /** Returns the findings by the name of their check. */
  get found(): ReadonlyMap<string, DataCheck> {
    const found = new Map<string, DataCheck>();
    for (const { check, watcher } of this.#watched) {
      const finding = watcher.finding();
      if (finding !== null) found.set(check.name, told(check, finding));
    }
    return found;
  }
}

/** Holds everything that a report needs to know about rows. */
export class RowFacts implements AskedRows {
  readonly findings: RowFindings;
  readonly statistics = new RowStatistics();
  readonly duplicates = new FoundRows();
  readonly languages = new LanguageCounts();
  /** Counts the rows that can be used; `broken` counts the others. */
  usable = 0;
  broken = 0;
  tokens = 0;
  trainedTokens = 0;
  longest = 0;
  readonly #broken = new Map<string, BrokenRows>();
  /** Holds the row of each example; the columns below hold its tokens and the positions of its first and last trained token. */
  readonly #rows = new Column(Uint32Array);
  readonly #lengths = new Column(Uint32Array);
  readonly #firstTrained = new Column(Uint32Array);
  /** Holds 1 for plain text. */
  readonly #documents = new Column(Uint32Array);
  readonly #lastTrained = new Column(Uint32Array);
  /** Says whether the row of each example is a copy: it is counted, and nothing is found out about it again. */
  readonly #copies = new Column(Uint32Array);
  /** Counts what each part of a mix has, by its number. */
  readonly parts = new Map<number, { rows: number; tokens: number; trainedTokens: number }>();
  /** Gives the index after the last row of each part. */
  readonly #ends = new Map<number, number>();
  /** Holds the key of each row that can be used. */
  readonly #keys = new RowKeys();
  /** Holds the sketch of each row that is not a duplicate and has enough words. */
  readonly #sketches = new Sketches();
  /** Caches the near duplicates, because a report is asked for at many lengths. */
  #near: FoundRows | null = null;
  readonly #nearIn = new WeakMap<RowFacts, FoundRows>();

  constructor(tokenizer: JudgingTokenizer | null) {
    this.findings = new RowFindings(tokenizer);
  }

  get examples(): number {
    return this.#lengths.length;
  }

  /** Adds the examples of one row, or its problem. */
  add(row: readonly RowOrProblem[]): void {
    const examples = row.filter((example): example is TokenRow => 'inputIds' in example);
    for (const { mixPart, index } of row) this.#ends.set(mixPart, index + 1);
    for (const example of row) if ('problem' in example) this.#addBroken(example);
    if (examples.length === 0) return;
    const [{ index, said, copy, mixPart }] = examples as [TokenRow];
    const part = this.parts.get(mixPart) ?? { rows: 0, tokens: 0, trainedTokens: 0 };
    this.parts.set(mixPart, part);
    part.rows++;
    this.usable++;
    for (const { index, inputIds, labels, isDocument } of examples) {
      this.#rows.add(index);
      this.#lengths.add(inputIds.length);
      this.#firstTrained.add(labels.findIndex((label, t) => t > 0 && label !== ignored));
      this.#lastTrained.add(lastTrained(labels));
      this.#documents.add(isDocument ? 1 : 0);
      this.#copies.add(copy > 0 ? 1 : 0);
      const trained = supervisedTokens(labels);
      this.tokens += inputIds.length;
      this.trainedTokens += trained;
      part.tokens += inputIds.length;
      part.trainedTokens += trained;
      this.longest = Math.max(this.longest, inputIds.length);
    }
    if (copy > 0) {
      this.#keys.repeat();
      return;
    }
    this.findings.add(examples);
    this.statistics.add(examples);
    if (said?.language !== undefined) this.languages.add(said.language, index);
    const key = examples.length === 1 ? contentKey(examples[0]!) : joinedKey(examples);
    if (!this.#keys.add(key)) this.duplicates.add(index);
    else if (said?.sketch !== undefined) this.#sketches.add(said.sketch, index, this.#keys.length - 1);
  }

  #addBroken({ index, copy, problem: { code, message, hint } }: Exclude<RowOrProblem, TokenRow>): void {
    this.broken++;
    if (copy > 0) return;
    const kind = `${code} ${hint}`;
    const known = this.#broken.get(kind) ?? { code, rows: new FoundRows(), detail: `${message} ${hint}` };
    this.#broken.set(kind, known);
    known.rows.add(index);
  }

  /** Returns the rows that cannot be used, by kind of problem. */
  get brokenKinds(): readonly BrokenRows[] {
    return [...this.#broken.values()];
  }

  /** Returns the part of a mix that a row is of: the parts follow one another. */
  partOf(index: number): number | undefined {
    return [...this.#ends].find(([, end]) => index < end)?.[0];
  }

  /** Returns the number of tokens of example `at`. */
  length(at: number): number {
    return this.#lengths.at(at);
  }

  /** Returns whether example `at` is plain text. */
  isDocument(at: number): boolean {
    return this.#documents.at(at) === 1;
  }

  /** Returns the examples that are trained when rows are cut so: the row of each, and the tokens that are left. */
  trainedLengths(cutting: Cutting): { readonly rows: Uint32Array; readonly lengths: Uint32Array } {
    const [rows, lengths] = [new Column(Uint32Array), new Column(Uint32Array)];
    for (let i = 0; i < this.examples; i++) {
      for (const { from, to, context } of spansOf(this.length(i), this.isDocument(i), cutting)) {
        const [first, last] = [from + Math.max(1, context), to - 1];
        if (this.#firstTrained.at(i) > last || this.#lastTrained.at(i) < first) continue;
        rows.add(this.#rows.at(i));
        lengths.add(to - from);
      }
    }
    return { rows: Uint32Array.from(rows.values), lengths: Uint32Array.from(lengths.values) };
  }

  /** Returns the median number of tokens of the examples. */
  medianLength(): number {
    const lengths = Uint32Array.from({ length: this.examples }, (_, i) => this.length(i)).sort();
    return lengths[Math.floor((lengths.length - 1) / 2)] ?? 0;
  }

  /** Counts the tokens of all examples beyond `maxLength`, leaving out documents where these are trained in parts. */
  tokensBeyond(maxLength: number, isInParts: boolean): number {
    let beyond = 0;
    for (let i = 0; i < this.examples; i++)
      if (!(isInParts && this.isDocument(i))) beyond += Math.max(0, this.#lengths.at(i) - maxLength);
    return beyond;
  }

  /** Returns the rows with an example for which `is` returns true. */
  rowsWhere(is: (example: ExampleFacts) => boolean): FoundRows {
    const found = new FoundRows();
    let last = -1;
    for (let i = 0; i < this.examples; i++) {
      const row = this.#rows.at(i);
      if (row === last || this.#copies.at(i) === 1) continue;
      const [tokens, firstTrained, end] = [this.#lengths.at(i), this.#firstTrained.at(i), this.#lastTrained.at(i)];
      if (!is({ tokens, firstTrained, lastTrained: end, isDocument: this.isDocument(i) })) continue;
      found.add(row);
      last = row;
    }
    return found;
  }

  /** Returns the rows that occur in `others` too. */
  rowsIn(others: RowFacts): FoundRows {
    const found = new FoundRows();
    let [row, last] = [-1, -1];
    for (let i = 0; i < this.examples; i++) {
      const index = this.#rows.at(i);
      if (index === last) continue;
      last = index;
      row++;
      if (this.#copies.at(i) === 0 && others.#keys.has(this.#keys, row)) found.add(index);
    }
    return found;
  }

  /**
   * Returns the rows that are nearly but not exactly the same as one of `others`, or as an earlier row of these where `others`
   * is null.
   */
  nearRows(others: RowFacts | null): FoundRows {
    const known = others === null ? this.#near : this.#nearIn.get(others);
    if (known) return known;
    const found = new FoundRows();
    const isIn = (row: number): boolean => others !== null && others.#keys.has(this.#keys, row);
    for (const row of this.#sketches.nearTo(others === null ? null : others.#sketches, isIn)) found.add(row);
    if (others === null) this.#near = found;
    else this.#nearIn.set(others, found);
    return found;
  }
}

/** Returns the position of the last trained token. */
function lastTrained(labels: Int32Array): number {
  let t = labels.length - 1;
  while (t > 0 && labels[t] === ignored) t--;
  return t;
}

/** Returns sixteen bytes that are equal for rows with the same token ids and labels. */
export function contentKey({ inputIds, labels }: Pick<TokenRow, 'inputIds' | 'labels'>): Buffer {
  const bytes = (values: Int32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash('sha256').update(bytes(inputIds)).update(bytes(labels)).digest().subarray(0, 16);
}

/** Returns the key of a row that is several examples. */
function joinedKey(examples: readonly TokenRow[]): Buffer {
  const hash = createHash('sha256');
  for (const example of examples) hash.update(contentKey(example));
  return hash.digest().subarray(0, 16);
}
