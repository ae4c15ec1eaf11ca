/** Defines what a reader of a file format is, and what it returns. */
import type { Hash } from 'node:crypto';
import type { ProblemValue } from '../../problem.ts';
import type { Source } from './source.ts';

/** Gives the place of a record in its file, from which a reader can continue. */
export interface RecordPlace {
  /** Numbers the line, from 1, or the record where a format has no lines. */
  readonly line: number;
  /** Counts the bytes before the record: of the file, or of its content where it is packed or not UTF-8. */
  readonly at: number;
  /** Counts the bytes of the file that have been read, where `at` counts other bytes. */
  readonly read?: number;
}

export type RecordOrProblem = RecordPlace & {
  /** Gives the length of the record in the file. */
  readonly bytes: number;
  /** Says how a person finds the record, where that is not by its line: `row 7 (row group 1)`. */
  readonly where?: string;
} & ({ readonly value: Readonly<Record<string, unknown>> } | { readonly problem: ProblemValue });

export interface Reading {
  /** Receives every byte of the file. It is given only where reading begins at the start. */
  readonly hash?: Hash;
  /** Names a record that was read before; reading begins with it. */
  readonly from?: RecordPlace | null;
  /** Records that are passed over at first without being looked at. It is counted down as that is done. */
  readonly passOver?: { rows: number };
  /**
   * Is told the position after each piece of the file in which no record ends, because there may be gigabytes of blank lines.
   */
  readonly onNothing?: (place: RecordPlace) => void | Promise<void>;
}

/** Reads files of one format, record by record, in memory that does not grow with the file. */
export interface Reader {
  /** Returns whether a file is of this format, judged by its beginning, or by its ending where the beginning does not tell. */
  readonly recognise: (source: Source) => boolean;
  /** Says in a few words how the file is read, such as `CSV with ';' between the columns a and b`. */
  readonly describe: (source: Source) => string;
  /**
   * Yields the records in order. A record that cannot be read is replaced by a problem that names file and line. Throws a
   * `Problem` where reading cannot continue.
   */
  readonly read: (source: Source, reading: Reading) => AsyncIterable<RecordOrProblem>;
}
