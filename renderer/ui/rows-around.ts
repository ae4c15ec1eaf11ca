/**
 * Selects the rows of a list that are rendered, each with the number of rows left out before it, and the number left out at the
 * end.
 */
interface MadeRows {
  readonly rows: readonly { readonly index: number; readonly before: number }[];
  readonly after: number;
}

/** Chooses the rows `from` up to `to` (exclusive) of `count` and, of `kept`, those that the list has. */
export function rowsAround(count: number, { from, to }: { from: number; to: number }, kept: readonly number[]): MadeRows {
  // A list that has become shorter than the visible range shows its end.
  const start = Math.max(0, Math.min(from, count - (to - from)));
  const end = Math.min(count, Math.max(to, 0));
  const range = Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
  const others = kept.filter((index) => index >= 0 && index < count && (index < start || index >= end));
  const indices = [...new Set([...range, ...others])].sort((a, b) => a - b);
  const rows = indices.map((index, i) => ({ index, before: index - (indices[i - 1] ?? -1) - 1 }));
  return { rows, after: count - 1 - (indices.at(-1) ?? -1) };
}
