/** Reads the rows of files into memory. */
import type { RowFiles } from '../data/row-files.ts';
import type { RowOrProblem, RowReading, RowsSummary } from '../data/row.ts';
import { RowSource } from '../data/rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';

export interface DataRows extends RowsSummary {
  /** Holds the rows in the order of the data. The examples of one row follow one another. */
  readonly rows: RowOrProblem[];
}

/** Reads all rows into memory. Rows that need a tokenizer or a template that does not exist become problems, one per row. */
export async function readRows(
  files: RowFiles,
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  reading: RowReading = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const source = new RowSource(files, tokenizer, vocabularySize, reading);
  const summary = await source.readWhole((examples) => rows.push(...examples));
  return { rows, ...summary };
}
