/** Defines the examples that training draws, each of one or several sequences of tokens. */
import { type Cutting, ignored, type LabelledTokens, type Span, spansOf, supervisedTokens } from '../labels.ts';
import type { Recipe } from '../recipe.ts';

/** Says what a sequence is in its example: the whole of it, or the chosen or rejected answer of a preference. */
export type Part = 'whole' | 'chosen' | 'rejected';

export interface Sequence extends LabelledTokens {
  readonly part: Part;
}

/** Describes one example of a step; `file` and `line` are for messages. */
export interface Example {
  /** Gives the index of the row in the data, from 0; a row can be several examples. */
  readonly index: number;
  readonly file: string;
  readonly line: number;
  /** Gives the part of a mix that the row is from, from 0, which is also the default. */
  readonly mixPart?: number;
  readonly sequences: readonly Sequence[];
  /** Says how much each of its tokens counts in the loss. If it is left out, each counts 1. */
  readonly weight?: number;
}

/** Describes a row of data with one sequence of tokens. */
export interface TokensOfRow extends Pick<Example, 'index' | 'file' | 'line' | 'mixPart'>, LabelledTokens {
  /** Says whether any part of it can be learned by itself. */
  readonly isDocument?: boolean;
}

/**
 * Presents a row, or a part of it, as an example of one sequence. Its tokens are views of the row's own, because there may be millions
 * of rows.
 */
class RowExample implements Example {
  weight = 1;
  readonly #row: TokensOfRow;
  readonly #span: Span;

  constructor(row: TokensOfRow, span: Span) {
    this.#row = row;
    this.#span = span;
  }

  get index(): number {
    return this.#row.index;
  }

  get file(): string {
    return this.#row.file;
  }

  get line(): number {
    return this.#row.line;
  }

  get mixPart(): number {
    return this.#row.mixPart ?? 0;
  }

  get sequences(): readonly [Sequence] {
    const { inputIds, labels } = this.#row;
    const { from, to, context } = this.#span;
    const own = labels.subarray(from, to);
    return [
      {
        inputIds: inputIds.subarray(from, to),
        labels: context === 0 ? own : own.slice().fill(ignored, 0, context),
        part: 'whole',
      },
    ];
  }
}

/** Turns each row into an example of one sequence, cut to the length that is allowed, or a document into several. */
export function examplesOf(
  rows: readonly TokensOfRow[],
  { maxLength, documentOverlap }: Cutting = { maxLength: Infinity, documentOverlap: null },
): RowExample[] {
  return rows.flatMap((row) => {
    const spans = spansOf(row.inputIds.length, row.isDocument === true, { maxLength, documentOverlap });
    return spans.map((span) => new RowExample(row, span));
  });
}

/** Holds examples of at most a length, without those that have no supervised token left, and counts what became of rows. */
export interface PreparedExamples {
  readonly examples: readonly Example[];
  readonly truncated: number;
  /** Gives documents that became several examples. */
  readonly divided: number;
  readonly withoutTarget: number;
}

/** Receives how many of how many are done, and is awaited. */
type OnTurn = (done: number, total: number) => Promise<void>;

const turn = 256;

/**
 * Yields `all` in groups. A million rows take seconds, so before each group `onTurn` is awaited: it reports progress and lets a
 * request to stop arrive.
 */
export async function* inTurns<T>(all: readonly T[], onTurn: OnTurn): AsyncGenerator<readonly T[]> {
  for (let first = 0; first < all.length; first += turn) {
    await onTurn(first, all.length);
    yield all.slice(first, first + turn);
  }
}

/**
 * Cuts or divides rows and drops examples that have no supervised token. With a weight by conversation, the examples of one row of the
 * data count as much together as a row that is one example.
 */
export async function prepareExamples(
  rows: readonly TokensOfRow[],
  cutting: Cutting,
  onTurn: OnTurn,
  { turnWeight = 'turn' }: Partial<Pick<Recipe, 'turnWeight'>> = {},
): Promise<PreparedExamples> {
  const examples: RowExample[] = [];
  let [truncated, divided, withoutTarget] = [0, 0, 0];
  for await (const some of inTurns(rows, onTurn))
    for (const row of some) {
      const all = examplesOf([row], cutting);
      if (all.length > 1) divided++;
      else if (row.inputIds.length > cutting.maxLength) truncated++;
      const trained = all.filter(({ sequences }) => sequences.every(({ labels }) => supervisedTokens(labels) > 0));
      examples.push(...trained);
      if (trained.length === 0) withoutTarget++;
    }
  if (turnWeight === 'conversation') {
    const siblings = new Map<number, number>();
    for (const { index } of examples) siblings.set(index, (siblings.get(index) ?? 0) + 1);
    for (const example of examples) example.weight = 1 / siblings.get(example.index)!;
  }
  return { examples, truncated, divided, withoutTarget };
}

/** Describes a sequence together with its example and the index of that example among those drawn with it, from 0. */
export interface DrawnSequence extends Sequence {
  readonly example: Example;
  readonly place: number;
}

/** Yields the sequences of examples in order. */
export function* sequencesOf(examples: Iterable<Example>): Generator<DrawnSequence> {
  let place = 0;
  for (const example of examples) {
    for (const sequence of example.sequences) yield { ...sequence, example, place };
    place++;
  }
}

/** Counts the supervised tokens of examples. */
export function supervisedOf(examples: Iterable<Example>): number {
  let count = 0;
  for (const { labels } of sequencesOf(examples)) count += supervisedTokens(labels);
  return count;
}

/** Counts the tokens of the longest sequence. */
export function longestSequence(examples: Iterable<Example>): number {
  let longest = 0;
  for (const { inputIds } of sequencesOf(examples)) longest = Math.max(longest, inputIds.length);
  return longest;
}
