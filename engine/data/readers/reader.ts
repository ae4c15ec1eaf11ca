/** What a reader of a format of files is, and what it hands over. */
import type { Hash } from 'node:crypto';
import type { ProblemValue } from '../../problem.ts';
import type { Source } from './source.ts';

/** Where a record begins in its file: a reader goes on from there. */
export interface RecordPlace {
  /** 1-based; the number of the record where a format has no lines. */
  readonly line: number;
  /** Bytes before it: of the file, or of what it holds where it is packed or not UTF-8. */
  readonly at: number;
  /** Bytes of the file that are read, where `at` counts others. */
  readonly read?: number;
}

export type RecordOrProblem = RecordPlace & {
  /** Length of the record in the file. */
  readonly bytes: number;
  /** How a person finds the record, where that is not its line: `row 7 (row group 1)`. */
  readonly where?: string;
} & ({ readonly value: Readonly<Record<string, unknown>> } | { readonly problem: ProblemValue });

export interface Reading {
  /** Every byte of the file goes into it; given only where reading begins at the start. */
  readonly hash?: Hash;
  /** A record that was read before: reading goes on with it. */
  readonly from?: RecordPlace | null;
  /** Told where the reading is after each piece of the file in which no record ends: there may be gigabytes of blank lines. */
  readonly onNothing?: (place: RecordPlace) => void | Promise<void>;
}

/** Reads files of one format, record by record, in memory that does not grow with the file. */
export interface Reader {
  /** Returns whether a file is of this format, by what it begins with, and by its ending where that tells nothing. */
  readonly recognise: (source: Source) => boolean;
  /** Says in a few words how the file is read, as `CSV with ';' between the columns a and b`. */
  readonly describe: (source: Source) => string;
  /**
   * Yields the records in their order. What is wrong with one record takes its place as a problem that names file and line; throws a
   * Problem where the file cannot be read on.
   */
  readonly read: (source: Source, reading: Reading) => AsyncIterable<RecordOrProblem>;
}
