/** Finds the rows that two contestants were both scored on. */
import type { ContestantAnswer, PairCell, ReportedPair, ReportedRow } from '../../contract.ts';
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

/** Returns whether a row is in a cell of the table of a pair. Only a score of 1 is right; a row that one has no score of is in none. */
export function inCell(answers: readonly ContestantAnswer[], { a, b, measure, cell }: PairCell): boolean {
  const scoreOf = (name: string) => answers.find(({ contestant }) => contestant === name)?.scores[measure];
  const [one, other] = [scoreOf(a), scoreOf(b)];
  if (one === undefined || other === undefined) return false;
  return cell === (one === 1 ? (other === 1 ? 'both' : 'only-a') : other === 1 ? 'only-b' : 'neither');
}
