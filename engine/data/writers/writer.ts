/** What writes rows into a file. */
export interface RowWriter {
  /** Is shown every row before the first is written, where a format has to know what all of them have. */
  readonly look?: (row: Readonly<Record<string, unknown>>) => void;
  write(row: Readonly<Record<string, unknown>>): void;
  /** Writes what is left. The file is whole then. */
  end(): void;
}
