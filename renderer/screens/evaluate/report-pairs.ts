/** Finds the contestants and pairs of a report that a person looks at. */
import type { EvaluationReport, PairCell, ReportedContestant, ReportedPair } from '../../../engine/contract.ts';
import { isBetter, type MeasureName } from '../../../engine/measures.ts';

/** Is a report as the window has it: without the answers of the rows. */
export type ShownReport = Omit<EvaluationReport, 'rows'>;
export type Cell = PairCell['cell'];
export type CellCounts = Readonly<Record<Cell, number>>;

/** Returns the measures that contestants have, in the order of the evaluators. */
export function measuresOf({ contestants }: Pick<ShownReport, 'contestants'>): MeasureName[] {
  return [...new Set(contestants.flatMap(({ measures }) => Object.keys(measures) as MeasureName[]))];
}

/** Returns the best of some contestants by a measure; of equals the one with the shortest prompts. */
export function bestOf(contestants: readonly ReportedContestant[], measure: MeasureName): ReportedContestant | null {
  return contestants.reduce<ReportedContestant | null>((best, one) => {
    const value = one.measures[measure]?.value;
    if (value === undefined) return best;
    const other = best?.measures[measure]?.value;
    if (best === null || other === undefined) return one;
    if (value !== other) return isBetter(measure, value, other) ? one : best;
    return (one.promptTokens ?? Infinity) < (best.promptTokens ?? Infinity) ? one : best;
  }, null);
}

/** Returns the best of the contestants that were not trained, if one was trained. */
export function bestAlternative({ contestants }: Pick<ShownReport, 'contestants'>, measure: MeasureName): string | null {
  if (!contestants.some(({ trained }) => trained)) return null;
  return (
    bestOf(
      contestants.filter(({ trained }) => !trained),
      measure,
    )?.name ?? null
  );
}

/** Returns the two that the verdict is about: the best trained one and the best other; without such, the first two. */
export function firstPair({ contestants }: Pick<ShownReport, 'contestants'>, measure: MeasureName): [string, string] | null {
  const of = (trained: boolean) =>
    bestOf(
      contestants.filter((one) => one.trained === trained),
      measure,
    )?.name;
  const [a, b] = [of(true), of(false)];
  if (a !== undefined && b !== undefined) return [a, b];
  const [first, second] = contestants;
  return first === undefined || second === undefined ? null : [first.name, second.name];
}

/** Returns how `a` compares with `b`, whichever comes first in the report. */
export function pairOf({ pairs }: Pick<ShownReport, 'pairs'>, a: string, b: string, measure: MeasureName): ReportedPair | null {
  const pair = pairs.find((one) => one.measure === measure && [one.a, one.b].includes(a) && [one.a, one.b].includes(b));
  if (pair === undefined || a === b) return null;
  if (pair.a === a) return pair;
  const { onlyA, onlyB, difference, low, high } = pair;
  return { ...pair, a, b, onlyA: onlyB, onlyB: onlyA, difference: -difference, low: -high, high: -low };
}

/** Returns the counts of a pair's table, or null where rows can be right in part. */
export function countsOf({ both, onlyA, onlyB, neither }: ReportedPair): CellCounts | null {
  if (both === null || onlyA === null || onlyB === null || neither === null) return null;
  return { both, 'only-a': onlyA, 'only-b': onlyB, neither };
}

/** Returns the cell that is shown first: rows on which the two differ, where there are any. */
export function firstCell(counts: CellCounts): Cell {
  const order: readonly Cell[] = ['only-a', 'only-b', 'neither', 'both'];
  return order.find((cell) => counts[cell] > 0) ?? 'only-a';
}
