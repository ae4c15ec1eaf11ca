/** Writes rows into a file. */
export interface RowWriter {
  /** Is shown every row before the first is written, for formats that have to know what all rows contain. */
  readonly look?: (row: Readonly<Record<string, unknown>>) => void;
  /** Lists the columns that have a type again that rows do not have, for formats with types. */
  readonly kept?: ReadonlySet<string>;
  write(row: Readonly<Record<string, unknown>>): void;
  /** Writes what is left, which completes the file. */
  end(): void;
}
