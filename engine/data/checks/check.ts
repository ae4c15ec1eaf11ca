/**
 * What a check of a data set is. There are three kinds by what they look at: what a row says, which is known while it is read and is kept
 * with its tokens; rows as tokens, one after another; and all that is known of a data set, at a maximum length.
 */
import type { ChatMessage, DataCheck, Mend } from '../../contract.ts';
import type { PositionsSpec } from '../../models/positions.ts';
import type { ProblemCode } from '../../problem.ts';
import type { FoundFormat, RepeatedValue, TokenRow, UnusedColumn } from '../row.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { FoundRows } from './found-rows.ts';
import type { LanguageCounts } from './language-counts.ts';

/** What of a tokenizer rows are judged by. */
export type JudgingTokenizer = Pick<Tokenizer, 'addedTokens' | 'stopTokens' | 'padding'>;

interface Kind {
  /** Names the check in results; it never changes. */
  readonly name: string;
  /** How bad it is where something is found. */
  readonly severity: 'blocking' | 'warning' | 'note';
  /** Why it matters, in a sentence or two. */
  readonly why: string;
  /** What can be done about it with one click; null where a person has to decide otherwise. */
  readonly mend: Mend | null;
}

/** What a row says. */
export interface Said {
  readonly texts: readonly string[];
  /** Null for a row that is no conversation. */
  readonly messages: readonly ChatMessage[] | null;
}

/** A check of what a row says. */
export interface TextCheck extends Kind {
  readonly looksAt: 'text';
  /** Returns names of what it finds, nothing where the row is as it should be. They are kept with the tokens: a few short words. */
  readonly find: (said: Said) => readonly string[];
  readonly title: (counted: string) => string;
  /** What to do about it. */
  readonly advice: string;
}

/** A check of tokens and of what was found out about them. */
export interface RowCheck extends Kind {
  readonly looksAt: 'rows';
  readonly begin: (tokenizer: JudgingTokenizer | null) => RowWatcher;
}
export interface RowWatcher {
  /** Takes the examples of one row. */
  add(examples: readonly TokenRow[]): void;
  /** Returns what was found so far; null where nothing was. */
  finding(): Finding | null;
}

/** A check of a whole data set. */
export interface SetCheck extends Kind {
  readonly looksAt: 'set';
  readonly ask: (asked: AskedSet) => Finding | readonly Finding[] | null;
}

export type Check = TextCheck | RowCheck | SetCheck;

/** What a check finds, where other than its row of the table says. */
export interface Finding extends Partial<Pick<DataCheck, 'name' | 'severity' | 'why' | 'mend'>> {
  readonly title: string;
  readonly detail: string;
  readonly found?: FoundRows;
}

/** Rows that cannot be used, of one kind: what is to be done about it tells the kinds apart. */
export interface BrokenRows {
  readonly code: ProblemCode;
  readonly rows: FoundRows;
  /** What is wrong with the first. */
  readonly detail: string;
}

/** An example by its numbers. */
export interface ExampleFacts {
  readonly tokens: number;
  /** Places of the first and the last trained token. */
  readonly firstTrained: number;
  readonly lastTrained: number;
  /** Whether it is plain text. */
  readonly isDocument: boolean;
}

/** What a check of a whole data set may ask of its rows. */
export interface AskedRows {
  readonly duplicates: FoundRows;
  readonly languages: LanguageCounts;
  /** The numbers of rows that can be used, and of the others. */
  readonly usable: number;
  readonly broken: number;
  readonly brokenKinds: readonly BrokenRows[];
  readonly examples: number;
  readonly tokens: number;
  readonly longest: number;
  medianLength(): number;
  tokensBeyond(maxLength: number, isInParts: boolean): number;
  rowsWhere(is: (example: ExampleFacts) => boolean): FoundRows;
  /** Returns the rows that are also among those of another split. */
  rowsIn(others: AskedRows): FoundRows;
  /** Returns the rows that say nearly what another one says, or what one of another split says. */
  nearRows(others: AskedRows | null): FoundRows;
}

/** A data set that a report is made of. */
export interface AskedSet extends SetSurroundings {
  readonly facts: AskedRows;
  /** At which rows are cut: what was asked for, or what the model has positions for where that is less. */
  readonly maxLength: number;
  readonly isAtLimit: boolean;
  /** Tokens that the model was made for. */
  readonly context: number;
}
/** What is known beside the rows. */
export interface SetSurroundings {
  readonly tokenizer: JudgingTokenizer | null;
  readonly spec: PositionsSpec;
  readonly unused: readonly UnusedColumn[];
  readonly repeated: readonly RepeatedValue[];
  /** Of the other split, to find rows that are in both. */
  readonly others: AskedRows | null;
  readonly formats: readonly FoundFormat[];
  /** How each file was read, in a sentence. */
  readonly files: readonly string[];
  /** As in `Cutting`: null where long documents are cut. */
  readonly documentOverlap: number | null;
  /** Files that are others than in the version of the data set. */
  readonly changed: readonly string[];
}

/** Makes of a finding what a person is told. */
export function told(kind: Kind, { found, ...finding }: Finding): DataCheck {
  const { name, severity, why, mend } = kind;
  const isPassed = finding.severity === 'passed';
  return {
    ...{ name, severity, why, mend: isPassed ? null : mend },
    ...finding,
    ...(found?.listed ?? { rows: [], count: 0 }),
  };
}
