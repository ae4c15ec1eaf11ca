/** Says what a row of a data set is once it is read, and what is known of all of them. */
import type { DataFormat } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { Day } from './day.ts';
import type { Encoded } from './encoded.ts';
import type { FormatReason } from './format-reason.ts';
import type { LeftOut } from './mask.ts';
import type { RecordPlace } from './readers/reader.ts';

/** Kept with the tokens of a row as JSON; what says nothing is left out. */
export interface TextMarks {
  /** What each check finds, by its name. */
  readonly found?: Readonly<Record<string, readonly string[]>>;
  /** By which texts that are nearly the same are found. */
  readonly sketch?: string;
  readonly language?: string;
}

/** A value that nearly all rows have in one column. */
export interface RepeatedValue {
  readonly column: string;
  /** The beginning of the value. */
  readonly value: string;
  readonly rows: number;
  /** Rows that have a value in the column. */
  readonly of: number;
}

/** What is trained on: a row of the data, or one turn of a conversation whose template writes earlier turns differently. */
export interface TokenRow extends Encoded, Marks {
  /** Of the row in the data, from 0: the same for all examples of one row. */
  readonly index: number;
  readonly file: string;
  /** 1-based; for a JSON list the line on which the row begins. */
  readonly line: number;
}
/** What is found out about an example besides its tokens. It is kept with them as JSON. */
export interface Marks {
  /** The assistant turn that is trained, from 1, where the row is several examples; null where it is one. */
  readonly turn: number | null;
  /** Messages, from 1, that are trained and do not end in a token that ends an answer; 0 is a completion or a text that does not. */
  readonly endless: readonly number[];
  /** What asks for each trained turn of a conversation: the prompt without what comes before it. */
  readonly asks: readonly string[];
  /** Of the row: messages whose content the chat template leaves out. */
  readonly leftOut: readonly LeftOut[];
  /** Special tokens that messages of the row spell. */
  readonly spelled: readonly string[];
  /** Of the row: turns that would be examples of their own, and are not because only the last is wanted. */
  readonly passedOver: number;
  /** Of the row: pictures, sounds and films that were dropped. */
  readonly dropped: number;
  /** Whether it is plain text, any part of which can be learned by itself. */
  readonly isDocument: boolean;
  /** Of the row, at its first example: what is found out about its text. Null where it has none. */
  readonly said: TextMarks | null;
}
export const unmarked: Marks = {
  ...{ turn: null, endless: [], asks: [], leftOut: [], spelled: [], passedOver: 0, dropped: 0 },
  ...{ isDocument: false, said: null },
};
export type RowOrProblem =
  TokenRow | { readonly problem: ProblemValue; readonly index: number; readonly line: number; readonly file: string };

export interface DataRows extends RowsSummary {
  /** In the order of the data; the examples of one row follow one another. */
  readonly rows: RowOrProblem[];
}

/** What is known of a data set when all of its rows have been read. */
export interface RowsSummary {
  readonly format: DataFormat;
  /** SHA-256 of the file; of the files' hashes in hexadecimal when there are several. */
  readonly hash: string;
  /** What rows are known by, and how many are known by each, those of most rows first. */
  readonly formats: readonly FoundFormat[];
  /** SHA-256 of each file, in their order. */
  readonly hashes: readonly string[];
  /** Columns with a value that nothing was read from, those of most rows first: `id`, `messages[].name`. */
  readonly unused: readonly UnusedColumn[];
  /** Columns in which nearly all rows have the same. */
  readonly repeated: readonly RepeatedValue[];
}

/** What is known when all rows were read for their tokens. */
export interface TokensSummary extends RowsSummary {
  /** Why the tokens could not be kept for the next reading; null where they are, or were not to be. */
  readonly notKept: string | null;
}

/** Where tokens are kept from one reading to the next. */
export interface RowCache {
  readonly folder: string;
  /** A hash of all that decides what rows become, besides their files and how they are read. */
  readonly decidedBy: string;
}

export interface FoundFormat extends FormatReason {
  readonly rows: number;
}

export interface UnusedColumn {
  readonly name: string;
  readonly rows: number;
}

/** How rows are read; settings left out are those of the default recipe. */
export interface RowReading extends Partial<RowSettings> {
  /** What a chat template prints. */
  readonly day?: Day | undefined;
}

/** How far the reading of a data set is. */
export interface ReadingPosition {
  /** Rows that are done. */
  readonly rows: number;
  readonly bytes: number;
  /** Of all files. */
  readonly totalBytes: number;
  /** What is worked on: rows of this file that begin on these lines. */
  readonly file: string;
  readonly firstLine: number;
  readonly lastLine: number;
}
/** Says at which file a reading is, and what is done. */
interface ReadingAt extends Pick<ReadingPosition, 'rows' | 'totalBytes' | 'file'> {
  /** Bytes of the files before it. */
  readonly before: number;
}

/** Returns the position of a reading that works on records of a file from `first` to `last`. */
export function positionOf({ before, ...at }: ReadingAt, first: RecordPlace, last: RecordPlace = first): ReadingPosition {
  return { ...at, bytes: before + (first.read ?? first.at), firstLine: first.line, lastLine: last.line };
}

/** Whoever follows a reading: it is told before rows are encoded and while that lasts, may let it wait, and ends it by throwing. */
export type ReadingWatch = (position: ReadingPosition) => void | Promise<void>;
