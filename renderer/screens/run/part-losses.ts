import type { EvalMetrics } from '../../../engine/contract.ts';
import { partOf } from '../../../engine/measures.ts';

/** Returns the parts of a mix that evaluations measured, in their order. */
export function partsOf(evaluations: readonly EvalMetrics[]): readonly string[] {
  const names = evaluations.flatMap(({ measures = {} }) => Object.keys(measures).flatMap((name) => partOf(name) ?? []));
  return [...new Set(names)];
}
