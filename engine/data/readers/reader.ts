/** What a reader of a format of files is, and what it hands over. */
import type { Hash } from 'node:crypto';
import type { ProblemValue } from '../../problem.ts';

/** Where a record begins in its file: a reader goes on from there. */
export interface RecordPlace {
  /** 1-based; the number of the record where a format has no lines. */
  readonly line: number;
  /** Bytes of the file before it. */
  readonly at: number;
}

export type RecordOrProblem = RecordPlace & {
  /** Length of the record in the file. */
  readonly bytes: number;
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
  /**
   * Whether a file is of this format, by what it begins with, and by its ending (`csv`, in small letters) where that tells nothing. `head` is
   * without a byte order mark and the blanks before the first character.
   */
  readonly recognise: (head: Buffer, ending: string) => boolean;
  /**
   * Yields the records in their order. What is wrong with one record takes its place as a problem that names file and line; throws a
   * Problem where the file cannot be read on.
   */
  readonly read: (path: string, reading: Reading) => AsyncIterable<RecordOrProblem>;
}
