import type { RowView } from '../../../engine/contract.ts';

/** A selected row is one example of a row of the data, the first one where no turn is given. */
export type SelectedRow = Pick<RowView, 'index' | 'turn'>;

export function exampleOf(rows: readonly RowView[], { index, turn }: SelectedRow): RowView | null {
  const examples = rows.filter((row) => row.index === index);
  return examples.find((row) => row.turn === turn) ?? examples[0] ?? null;
}
