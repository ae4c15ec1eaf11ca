/** Defines a row of a data set once it has been read, and what is known of all rows. */
import type { DataFormat } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { ToolDefinition } from './calls.ts';
import type { Day } from './day.ts';
import type { Encoded } from './encoded.ts';
import type { FormatReason } from './format-reason.ts';
import type { LeftOut } from './mask.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';

/** Holds findings about the text of a row. They are kept with its tokens as JSON; fields without findings are left out. */
export interface TextMarks {
  /** Holds what each check finds, by the check's name. */
  readonly found?: Readonly<Record<string, readonly string[]>>;
  /** Holds the sketch by which nearly equal texts are found. */
  readonly sketch?: string;
  readonly language?: string;
  /** Messages of a conversation, those of the system not counted. */
  readonly turns?: number;
}

/** Describes a value that nearly all rows have in one column. */
export interface RepeatedValue {
  readonly column: string;
  /** Holds the beginning of the value. */
  readonly value: string;
  readonly rows: number;
  /** Counts the rows that have a value in the column. */
  readonly of: number;
  /** Names the part of a mix that is meant. */
  readonly part?: string;
}

/** Says where a row is in the data and in its file. */
export interface PlaceInData {
  /** Numbers the row in the data, from 0. All examples of one row have the same index. */
  readonly index: number;
  readonly file: string;
  /** Numbers the line, from 1. In a JSON list it is the line on which the row begins. */
  readonly line: number;
  /** Gives the part of a mix that the row is from, from 0; it is 0 where the data is not a mix. */
  readonly mixPart: number;
  /** Says how many times the same row came before; it is above 0 only in a mix that repeats the row. Copies of a row follow one another. */
  readonly copy: number;
}
/**
 * Holds the token ids to train on: a row of the data, or one turn of a conversation whose template writes earlier turns
 * differently.
 */
export interface TokenRow extends PlaceInData, Encoded, Marks {
  /** Lists the tools that the conversation may call; left out where there are none, and where the text is not kept. */
  readonly tools?: readonly ToolDefinition[];
}
/** Marks hold what is known about an example besides its tokens. They are kept with the tokens as JSON. */
export interface Marks {
  /** Numbers the assistant turn that is trained, from 1, where the row is several examples. It is null where the row is one. */
  readonly turn: number | null;
  /**
   * Numbers the trained messages, from 1, that do not end with a token that ends an answer. 0 stands for a completion or a text
   * without one.
   */
  readonly withoutStopToken: readonly number[];
  /** Holds the generation prompt of each trained turn of a conversation: the prompt without the conversation before it. */
  readonly asks: readonly string[];
  /** Lists the messages of the row whose content the chat template leaves out. */
  readonly leftOut: readonly LeftOut[];
  /** Lists the special tokens whose text occurs in messages of the row. */
  readonly specialTokensInText: readonly string[];
  /** Counts the turns of the row that would be examples of their own and are left out because only the last one is wanted. */
  readonly skippedTurns: number;
  /** Counts the images, audio and video that were removed from the row. */
  readonly dropped: number;
  /** Is true for plain text, any part of which can be learned by itself. */
  readonly isDocument: boolean;
  /** Holds the findings about the text of the row, at its first example only. It is null where there are none. */
  readonly said: TextMarks | null;
}
export const unmarked: Marks = {
  ...{ turn: null, withoutStopToken: [], asks: [], leftOut: [], specialTokensInText: [], skippedTurns: 0, dropped: 0 },
  ...{ isDocument: false, said: null },
};
export type RowOrProblem = TokenRow | (PlaceInData & { readonly problem: ProblemValue });

/** Summarizes a data set whose rows have all been read. */
export interface RowsSummary {
  readonly format: DataFormat;
  /** Holds the SHA-256 of the file, or, for several files, of their hexadecimal hashes. */
  readonly hash: string;
  /** Lists the formats that were recognized and the number of rows of each, most rows first. */
  readonly formats: readonly FoundFormat[];
  /** Holds the SHA-256 of each file, in order. */
  readonly hashes: readonly string[];
  /** Lists the columns with values that nothing was read from, most rows first: `id`, `messages[].name`. */
  readonly unused: readonly UnusedColumn[];
  /** Lists the columns in which nearly all rows have the same value. */
  readonly repeated: readonly RepeatedValue[];
}

/** Summarizes a data set whose rows have all been encoded. */
export interface TokensSummary extends RowsSummary {
  /** Says why the tokens could not be kept for the next reading. It is null where they were kept, or were not meant to be. */
  readonly notKept: string | null;
}

/** Takes the examples of one row, or its problem. */
export type OnRow = (examples: readonly RowOrProblem[]) => void;

/** Rows for one model: all of them one after another, or a page from the middle. */
export interface Rows {
  /** Rows of the data; null until they have been read to the end. */
  readonly total: number | null;
  /**
   * Hands over the examples of each row without their text, or its problem, in the order of the data: as they were kept by an earlier
   * reading of the same rows, or else from the files.
   */
  read(onRow: OnRow, watch?: ReadingWatch): Promise<TokensSummary>;
  /** Hands over the examples of each row with their text and messages. */
  readWhole(onRow: OnRow, watch?: ReadingWatch): Promise<RowsSummary>;
  /** Returns the examples of `limit` rows from row `offset` on. Reads no further than to the last of them. */
  page(offset: number, limit: number, watch?: ReadingWatch): Promise<readonly RowOrProblem[]>;
  /**
   * Yields the records of rows from row `offset` on, some at a time, and those right before it that are read with them. Where it is not known
   * where it begins, those before it are passed over.
   */
  records(offset: number, watch?: ReadingWatch): AsyncGenerator<SomeRecords>;
}
/** Records of rows of one file, the number of each among the rows that are meant, and what tells that they are worked on. */
export interface SomeRecords {
  readonly file: string;
  readonly records: readonly ({ readonly record: RecordOrProblem } & Pick<PlaceInData, 'index' | 'copy'>)[];
  readonly tell: () => void | Promise<void>;
}

/** Says where tokens are kept from one reading to the next. */
export interface RowCache {
  readonly folder: string;
  /** Holds a hash of everything that decides how rows are encoded, besides their files and settings. */
  readonly decidedBy: string;
}

export interface FoundFormat extends FormatReason {
  readonly rows: number;
}

export interface UnusedColumn {
  readonly name: string;
  readonly rows: number;
}

/** Says how rows are read. Settings that are left out have the default recipe's values. */
export interface RowReading extends Partial<RowSettings> {
  /** Gives the day that a chat template prints. */
  readonly day?: Day | undefined;
}

/** Reports the progress of reading a data set. */
export interface ReadingPosition {
  /** Counts the rows that are done. */
  readonly rows: number;
  readonly bytes: number;
  /** Gives the size of all files together. */
  readonly totalBytes: number;
  /** Names the file that is being read; the rows in progress begin on the lines below. */
  readonly file: string;
  readonly firstLine: number;
  readonly lastLine: number;
}
/** Says which file is being read, and how much is done. */
interface ReadingAt extends Pick<ReadingPosition, 'rows' | 'totalBytes' | 'file'> {
  /** Counts the bytes of the files before this one. */
  readonly before: number;
}

/** Returns the position of a reading that is working on the records of a file from `first` to `last`. */
export function positionOf({ before, ...at }: ReadingAt, first: RecordPlace, last: RecordPlace = first): ReadingPosition {
  return { ...at, bytes: before + (first.read ?? first.at), firstLine: first.line, lastLine: last.line };
}

/**
 * Follows a reading. It is called before rows are encoded and while they are; it may delay the reading, and ends it by
 * throwing.
 */
export type ReadingWatch = (position: ReadingPosition) => void | Promise<void>;
