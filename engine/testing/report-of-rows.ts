/** Makes the report of rows that are all in memory. */
import type { DataReport } from '../contract.ts';
import { reportOf } from '../data/report.ts';
import { type JudgingTokenizer, RowFacts } from '../data/row-facts.ts';
import type { DataRows, RowOrProblem } from '../data/rows.ts';
import type { PositionsSpec } from '../models/positions.ts';

export function reportOfRows(
  { rows, unused }: Pick<DataRows, 'rows' | 'unused'>,
  others: readonly RowOrProblem[],
  maxLength: number,
  { spec, tokenizer }: { readonly spec: PositionsSpec; readonly tokenizer: JudgingTokenizer | null },
): DataReport {
  const facts = (of: readonly RowOrProblem[]): RowFacts => {
    const facts = new RowFacts(tokenizer);
    for (const row of Map.groupBy(of, ({ index }) => index).values()) facts.add(row);
    return facts;
  };
  return reportOf(facts(rows), unused, others.length === 0 ? null : facts(others), maxLength, spec);
}
