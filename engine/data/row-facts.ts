/**
 * What is found out about rows one after another, so that no row has to be kept: findings that a row deserves by itself, and the lengths
 * and keys that a report at any maximum length is made of, some sixty bytes a row.
 */
import { createHash } from 'node:crypto';
import type { DataCheck } from '../contract.ts';
import { Column } from './column.ts';
import { ignored, supervisedTokens } from '../labels.ts';
import type { RowOrProblem, TokenRow } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Those that a check names can be left out together. */
const maxRowsNamed = 10_000;
const maxTokensNamed = 8;
/** Different prompts that are told; more come from templates that write something of each row into them. */
const maxAsks = 4;

export type JudgingTokenizer = Pick<Tokenizer, 'addedTokens' | 'stopTokens'>;

/** Rows with something in common: how many, and which are the first of them. */
export class FoundRows {
  readonly rows: number[] = [];
  count = 0;

  add(index: number): void {
    this.count++;
    if (this.rows.length < maxRowsNamed) this.rows.push(index);
  }

  /** Null where there are none. `title` is told the number with its noun. */
  check(severity: DataCheck['severity'], title: (counted: string) => string, detail: string): DataCheck | null {
    if (this.count === 0) return null;
    return { severity, title: title(`${this.count} row${this.count === 1 ? '' : 's'}`), detail, rows: this.rows };
  }
}

/** Warnings that a row deserves by itself. */
export class RowFindings {
  readonly #tokenizer: JudgingTokenizer | null;
  readonly #endless = new FoundRows();
  #endlessTurns = 0;
  #endlessText = false;
  readonly #leftOut = new FoundRows();
  readonly #leftOutRoles = new Set<string>();
  #leftOutFirst: { readonly message: number; readonly line: number } | null = null;
  readonly #spelled = new FoundRows();
  readonly #spelledTokens = new Set<string>();
  #spelledLine = 0;
  /** Trained turns by what asks for them. */
  readonly #asks = new Map<string, number>();
  readonly #unrolled = new FoundRows();
  #unrolledExamples = 0;
  #passedOver = 0;
  readonly #withMedia = new FoundRows();
  #media = 0;

  constructor(tokenizer: JudgingTokenizer | null) {
    this.#tokenizer = tokenizer;
  }

  /** Takes the examples of one row. */
  add(examples: readonly TokenRow[]): void {
    const { index, line, leftOut, spelled, passedOver, dropped } = examples[0]!;
    for (const ask of examples.flatMap(({ asks }) => asks))
      if (this.#asks.has(ask) || this.#asks.size < maxAsks) this.#asks.set(ask, (this.#asks.get(ask) ?? 0) + 1);
    if (examples.length > 1 || passedOver > 0) {
      this.#unrolled.add(index);
      this.#unrolledExamples += examples.length;
      this.#passedOver += passedOver;
    }
    if (dropped > 0) this.#withMedia.add(index);
    this.#media += dropped;
    const endless = examples.flatMap((example) => example.endless);
    if (endless.length > 0) this.#endless.add(index);
    this.#endlessTurns += endless.length;
    if (endless.includes(0)) this.#endlessText = true;
    if (leftOut.length > 0) {
      this.#leftOut.add(index);
      for (const { role } of leftOut) this.#leftOutRoles.add(role);
      this.#leftOutFirst ??= { message: leftOut[0]!.message, line };
    }
    if (spelled.length === 0) return;
    if (this.#spelled.count === 0) this.#spelledLine = line;
    this.#spelled.add(index);
    for (const text of spelled) this.#spelledTokens.add(text);
  }

  get checks(): DataCheck[] {
    return [this.#endlessCheck(), this.#leftOutCheck(), this.#mediaCheck(), this.#spelledCheck()].filter(
      (entry) => entry !== null,
    );
  }

  /** Says what asks for the answers, so that a person sees whether they are asked for a thought; null without conversations. */
  get asks(): DataCheck | null {
    if (this.#asks.size === 0) return null;
    const named = [...this.#asks].map(([ask, turns]) => `${JSON.stringify(ask)} (${turns} turn${turns === 1 ? '' : 's'})`);
    return {
      severity: 'passed',
      title: 'What asks for an answer is not trained',
      detail: `The chat template asks with ${named.join(', ')}; trained is what follows, to the token that ends it. Whether it asks for a thought is the setting 'thinking'.`,
      rows: [],
    };
  }

  /** Names rows that are several examples, or would be if not the last turns alone were wanted. */
  get unrolled(): DataCheck | null {
    const examples = this.#unrolledExamples;
    return this.#unrolled.check(
      'passed',
      (counted) => `${counted} with turns that the chat template rewrites: ${examples} example${examples === 1 ? '' : 's'}`,
      this.#passedOver === 0
        ? `Each such turn is trained as the last of an example of its own, behind the history as the model will see it. The setting 'unroll' takes the last alone, 'turnWeight' says how much they count.`
        : `Only the last is trained: ${this.#passedOver} earlier turn${this.#passedOver === 1 ? '' : 's'} would be examples of their own, and are not trained. The setting 'unroll' takes them all.`,
    );
  }

  #mediaCheck(): DataCheck | null {
    return this.#withMedia.check(
      'warning',
      (counted) => `${counted} without their pictures and sounds`,
      `Dropped are ${this.#media}, as was chosen (media). An answer about one teaches the model to make things up.`,
    );
  }

  /** Turns from which a model does not learn to stop. */
  #endlessCheck(): DataCheck | null {
    const turns = this.#endlessTurns;
    const stops = [...(this.#tokenizer?.addedTokens ?? [])]
      .filter(([id]) => this.#tokenizer?.stopTokens.includes(id))
      .map(([, text]) => text);
    const known = stops.length === 0 ? 'The model names no such token.' : `Known are ${stops.join(', ')}.`;
    const what = this.#endlessText ? 'text' : 'turn';
    return this.#endless.check(
      'warning',
      () =>
        turns === 1
          ? `1 ${what} does not end in a token that ends an answer`
          : `${turns} ${what}s do not end in a token that ends an answer`,
      `${this.#endlessText ? 'Nothing writes one' : 'The chat template writes none'} behind them, so the model does not learn to stop. ${known}`,
    );
  }

  /** Rows that say what the model never sees. */
  #leftOutCheck(): DataCheck | null {
    const first = this.#leftOutFirst;
    return this.#leftOut.check(
      'warning',
      (counted) => `${counted} with messages that the chat template leaves out, whole or in part`,
      `Left out are messages of the role ${[...this.#leftOutRoles].join(', ')}; the first is message ${first?.message} of line ${first?.line}. The model does not see what they say.`,
    );
  }

  /** Rows whose messages spell special tokens, which the model reads as if the chat template had written them. */
  #spelledCheck(): DataCheck | null {
    const named = [...this.#spelledTokens];
    return this.#spelled.check(
      'warning',
      (counted) => `${counted} with special tokens in what messages say`,
      `Found are ${named.slice(0, maxTokensNamed).join(', ')}${named.length > maxTokensNamed ? ' and more' : ''}, the first in line ${this.#spelledLine}. The model reads them as the chat template's own: they end turns or begin new ones. Remove them unless that is meant.`,
    );
  }
}

/** Rows that cannot be used, of one kind: what is to be done about it tells the kinds apart. */
interface Broken {
  readonly rows: FoundRows;
  /** What is wrong with the first. */
  readonly detail: string;
}

/** All that a report needs to know of rows. */
export class RowFacts {
  readonly findings: RowFindings;
  readonly duplicates = new FoundRows();
  /** Rows that can be used, and others. */
  usable = 0;
  broken = 0;
  tokens = 0;
  trainedTokens = 0;
  longest = 0;
  readonly #broken = new Map<string, Broken>();
  /** Of each example: its row, its tokens, and the place of its first trained token. */
  readonly #rows = new Column(Uint32Array);
  readonly #lengths = new Column(Uint32Array);
  readonly #firstTrained = new Column(Uint32Array);
  /** 1 for plain text. */
  readonly #documents = new Column(Uint32Array);
  /** Of each row that can be used. */
  readonly #keys: string[] = [];
  readonly #known = new KeySet();

  constructor(tokenizer: JudgingTokenizer | null) {
    this.findings = new RowFindings(tokenizer);
  }

  get examples(): number {
    return this.#lengths.length;
  }

  /** Takes the examples of one row, or its problem. */
  add(row: readonly RowOrProblem[]): void {
    const examples = row.filter((example): example is TokenRow => 'inputIds' in example);
    for (const example of row) if ('problem' in example) this.#addBroken(example);
    if (examples.length === 0) return;
    this.findings.add(examples);
    this.usable++;
    for (const { index, inputIds, labels, isDocument } of examples) {
      this.#rows.add(index);
      this.#lengths.add(inputIds.length);
      this.#firstTrained.add(labels.findIndex((label, t) => t > 0 && label !== ignored));
      this.#documents.add(isDocument ? 1 : 0);
      this.tokens += inputIds.length;
      this.trainedTokens += supervisedTokens(labels);
      this.longest = Math.max(this.longest, inputIds.length);
    }
    const key = examples.length === 1 ? contentKey(examples[0]!) : joinedKey(examples);
    this.#keys.push(key);
    if (!this.#known.add(key)) this.duplicates.add(examples[0]!.index);
  }

  #addBroken({ index, problem: { code, message, hint } }: Exclude<RowOrProblem, TokenRow>): void {
    const kind = `${code} ${hint}`;
    const known = this.#broken.get(kind) ?? { rows: new FoundRows(), detail: `${message} ${hint}` };
    this.#broken.set(kind, known);
    known.rows.add(index);
    this.broken++;
  }

  /** One check per kind of problem. */
  get brokenChecks(): DataCheck[] {
    const checks = [...this.#broken.values()].map(({ rows, detail }) =>
      rows.check('blocking', (counted) => `${counted} cannot be used`, detail),
    );
    return checks.filter((entry) => entry !== null);
  }

  /** Tokens of example `at`. */
  length(at: number): number {
    return this.#lengths.at(at);
  }

  /** Whether example `at` is plain text. */
  isDocument(at: number): boolean {
    return this.#documents.at(at) === 1;
  }

  /** Rows with an example that `is` something, by its tokens, the place of its first trained token, and whether it is plain text. */
  rowsWhere(is: (tokens: number, firstTrained: number, isDocument: boolean) => boolean): FoundRows {
    const found = new FoundRows();
    let last = -1;
    for (let i = 0; i < this.examples; i++) {
      const row = this.#rows.at(i);
      if (row === last || !is(this.#lengths.at(i), this.#firstTrained.at(i), this.#documents.at(i) === 1)) continue;
      found.add(row);
      last = row;
    }
    return found;
  }

  /** Rows that are in `others` too. */
  rowsIn(others: RowFacts): FoundRows {
    const found = new FoundRows();
    let [row, last] = [-1, -1];
    for (let i = 0; i < this.examples; i++) {
      const index = this.#rows.at(i);
      if (index === last) continue;
      last = index;
      if (others.#known.has(this.#keys[++row]!)) found.add(index);
    }
    return found;
  }
}

/** A set of keys; one of JavaScript alone ends at sixteen million. */
class KeySet {
  readonly #parts = Array.from({ length: 64 }, () => new Set<string>());

  #partOf(key: string): Set<string> {
    return this.#parts[key.charCodeAt(0) % this.#parts.length]!;
  }

  has(key: string): boolean {
    return this.#partOf(key).has(key);
  }

  /** False when it is there already. */
  add(key: string): boolean {
    const part = this.#partOf(key);
    return part.size !== part.add(key).size;
  }
}

/** Sixteen characters, equal for rows of the same token ids and labels. */
export function contentKey({ inputIds, labels }: Pick<TokenRow, 'inputIds' | 'labels'>): string {
  const bytes = (values: Int32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash('sha256').update(bytes(inputIds)).update(bytes(labels)).digest().toString('latin1', 0, 16);
}

/** Of a row that is several examples. */
function joinedKey(examples: readonly TokenRow[]): string {
  const hash = createHash('sha256');
  for (const example of examples) hash.update(contentKey(example), 'latin1');
  return hash.digest().toString('latin1', 0, 16);
}
