/** Makes the report of rows that are all in memory. */
import type { DataReport } from '../contract.ts';
import type { JudgingTokenizer } from '../data/checks/check.ts';
import { reportOf } from '../data/report.ts';
import { RowFacts } from '../data/row-facts.ts';
import type { RowOrProblem } from '../data/row.ts';
import type { DataRows } from './read-rows.ts';
import type { PositionsSpec } from '../models/positions.ts';

const noFiles = { changed: [], newFiles: [], parts: [], formats: [], files: [], documentOverlap: null };

export function reportOfRows(
  { rows, unused, repeated = [] }: Pick<DataRows, 'rows' | 'unused'> & Partial<Pick<DataRows, 'repeated'>>,
  others: readonly RowOrProblem[],
  maxLength: number,
  { spec, tokenizer }: { readonly spec: PositionsSpec; readonly tokenizer: JudgingTokenizer | null },
): DataReport {
  const facts = (of: readonly RowOrProblem[]): RowFacts => {
    const facts = new RowFacts(tokenizer);
    for (const row of Map.groupBy(of, ({ index }) => index).values()) facts.add(row);
    return facts;
  };
  const surroundings = { unused, repeated, spec, tokenizer, others: others.length === 0 ? null : facts(others), ...noFiles };
  return reportOf(facts(rows), maxLength, surroundings);
}
