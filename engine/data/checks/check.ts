/**
 * Defines what a check of a data set is. There are three kinds, by what they examine: the text of a row, which is checked while
 * the row is read, with the findings kept beside its tokens; rows as tokens, one after another; and everything that is known of
 * a data set, at a maximum length.
 */
import type { ChatMessage, DataCheck, Fix } from '../../contract.ts';
import type { PositionsSpec } from '../../models/positions.ts';
import type { ProblemCode } from '../../problem.ts';
import type { FoundFormat, RepeatedValue, TokenRow, UnusedColumn } from '../row.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { FoundRows } from './found-rows.ts';
import type { LanguageCounts } from './language-counts.ts';

/** Holds the parts of a tokenizer that rows are checked against. */
export type JudgingTokenizer = Pick<Tokenizer, 'addedTokens' | 'stopTokens' | 'padding'>;

interface Kind {
  /** Names the check in results. The name never changes. */
  readonly name: string;
  /** Says how serious a finding is. */
  readonly severity: 'blocking' | 'warning' | 'note';
  /** Says in a sentence or two why it matters. */
  readonly why: string;
  /** Says what can be done about it with one click. It is null where a person has to decide otherwise. */
  readonly fix: Fix | null;
}

/** Holds the text of a row. */
export interface Said {
  readonly texts: readonly string[];
  /** Is null for a row that is not a conversation. */
  readonly messages: readonly ChatMessage[] | null;
}

/** Defines a check of the text of a row. */
export interface TextCheck extends Kind {
  readonly looksAt: 'text';
  /**
   * Returns names of what it finds, or nothing where the row is correct. They are kept with the tokens, so they should be a few
   * short words.
   */
  readonly find: (said: Said) => readonly string[];
  readonly title: (counted: string) => string;
  /** Says what to do about it. */
  readonly advice: string;
}

/** Defines a check of tokens and of what is known about them. */
export interface RowCheck extends Kind {
  readonly looksAt: 'rows';
  readonly begin: (tokenizer: JudgingTokenizer | null) => RowWatcher;
}
export interface RowWatcher {
  /** Adds the examples of one row. */
  add(examples: readonly TokenRow[]): void;
  /** Returns what has been found so far, or null where nothing has. */
  finding(): Finding | null;
}

/** Defines a check of a whole data set. */
export interface SetCheck extends Kind {
  readonly looksAt: 'set';
  readonly ask: (asked: AskedSet) => Finding | readonly Finding[] | null;
}

export type Check = TextCheck | RowCheck | SetCheck;

/** Holds a finding of a check, with the fields in which it differs from the check's definition. */
export interface Finding extends Partial<Pick<DataCheck, 'name' | 'severity' | 'why' | 'fix'>> {
  readonly title: string;
  readonly detail: string;
  readonly found?: FoundRows;
}

/**
 * Holds rows that cannot be used and have the same kind of problem. Kinds are distinguished by what has to be done about them.
 */
export interface BrokenRows {
  readonly code: ProblemCode;
  readonly rows: FoundRows;
  /** Says what is wrong with the first row. */
  readonly detail: string;
}

/** Holds the numbers that describe an example. */
export interface ExampleFacts {
  readonly tokens: number;
  /** Gives the position of the first trained token; `lastTrained` gives that of the last. */
  readonly firstTrained: number;
  readonly lastTrained: number;
  /** Is true for plain text. */
  readonly isDocument: boolean;
}

/** Gives what a check of a whole data set may ask about its rows. */
export interface AskedRows {
  readonly duplicates: FoundRows;
  readonly languages: LanguageCounts;
  /** Counts the rows that can be used; `broken` counts the others. */
  readonly usable: number;
  readonly broken: number;
  readonly brokenKinds: readonly BrokenRows[];
  readonly examples: number;
  readonly tokens: number;
  readonly longest: number;
  medianLength(): number;
  tokensBeyond(maxLength: number, isInParts: boolean): number;
  rowsWhere(is: (example: ExampleFacts) => boolean): FoundRows;
  /** Returns the rows that also occur in another split. */
  rowsIn(others: AskedRows): FoundRows;
  /** Returns the rows that are nearly the same as another row, or as a row of another split. */
  nearRows(others: AskedRows | null): FoundRows;
}

/** Describes a data set that a report is made of. */
export interface AskedSet extends SetSurroundings {
  readonly facts: AskedRows;
  /**
   * Gives the length at which rows are truncated: the requested one, or the number of positions of the model if that is less.
   */
  readonly maxLength: number;
  readonly isAtLimit: boolean;
  /** Gives the number of tokens that the model was made for. */
  readonly context: number;
}
/** Holds what is known besides the rows. */
export interface SetSurroundings {
  readonly tokenizer: JudgingTokenizer | null;
  readonly spec: PositionsSpec;
  readonly unused: readonly UnusedColumn[];
  readonly repeated: readonly RepeatedValue[];
  /** Holds the rows of the other split, to find rows that are in both. */
  readonly others: AskedRows | null;
  readonly formats: readonly FoundFormat[];
  /** Says in a sentence how each file was read. */
  readonly files: readonly string[];
  /** Has the meaning that it has in `Cutting`: null where long documents are truncated. */
  readonly documentOverlap: number | null;
  /** Lists the files that differ from those of the version of the data set. */
  readonly changed: readonly string[];
  /** Lists the texts that have come into its folders since. */
  readonly newFiles: readonly string[];
  /** Lists the names of the parts of a mix. It is empty where the data is not a mix. */
  readonly parts: readonly string[];
}

/** Returns a finding in the form in which it is shown to a person. */
export function told(kind: Kind, { found, ...finding }: Finding): DataCheck {
  const { name, severity, why, fix } = kind;
  const isPassed = finding.severity === 'passed';
  return {
    ...{ name, severity, why, fix: isPassed ? null : fix },
    ...finding,
    ...(found?.listed ?? { rows: [], count: 0 }),
  };
}
