/** Finds the rows that two contestants were both scored on. */
import type { ReportedPair, ReportedRow } from '../../contract.ts';
import type { MeasureName } from '../../measures.ts';

/** Holds the scores of both contestants for a row. */
export interface PairedRow {
  readonly a: number;
  readonly b: number;
  readonly source: string;
  readonly weight: number;
}

/** Returns the scores of all rows that both contestants of a pair have one of, in the order of the first. */
export function pairedRows(
  rows: readonly ReportedRow[],
  { a, b, measure }: Pick<ReportedPair, 'a' | 'b' | 'measure'>,
): PairedRow[] {
  const other = new Map(rows.filter(({ contestant }) => contestant === b).map((row) => [row.row, row]));
  return rows.flatMap((row) => {
    const [one, two] = [row.scores[measure], other.get(row.row)?.scores[measure]];
    if (row.contestant !== a || one === undefined || two === undefined) return [];
    return [{ a: one, b: two, source: row.source, weight: weightOf(row, measure) }];
  });
}

/** Weighs the loss by the tokens it is the mean of; everything else counts by rows. */
export function weightOf({ supervisedTokens }: Pick<ReportedRow, 'supervisedTokens'>, measure: MeasureName): number {
  return measure === 'loss' ? supervisedTokens : 1;
}
