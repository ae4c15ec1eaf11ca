import type { RowView } from '../../../engine/contract.ts';

/** A row of the data; without a turn it is the first of its examples. */
export type SelectedRow = Pick<RowView, 'index' | 'turn'>;

export function exampleOf(rows: readonly RowView[], { index, turn }: SelectedRow): RowView | null {
  const examples = rows.filter((row) => row.index === index);
  return examples.find((row) => row.turn === turn) ?? examples[0] ?? null;
}
