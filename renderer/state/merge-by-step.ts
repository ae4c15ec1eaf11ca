/**
 * Merges rows into a list that is sorted by step. A step may come twice, by event and in an answer or from a resumed run; the newest
 * row then takes its place.
 */
export function mergeByStep<T extends { readonly step: number }>(known: readonly T[], added: readonly T[]): readonly T[] {
  if (added.length === 0) return known;
  const last = known.at(-1)?.step ?? -1;
  if (added.every((row, i) => row.step > (i === 0 ? last : added[i - 1]!.step))) return [...known, ...added];
  const rows = new Map(known.map((row) => [row.step, row]));
  for (const row of added) rows.set(row.step, row);
  return [...rows.values()].sort((a, b) => a.step - b.step);
}
