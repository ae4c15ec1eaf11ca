import { count } from '../../ui/format.ts';

/** Returns the index of the row whose number a person typed, or says why there is none. Numbers begin with 1. */
export function rowNumber(typed: string, total: number): { readonly row: number } | { readonly refused: string } {
  const text = typed.replaceAll(/[,.\s]/g, '');
  if (!/^\d+$/.test(text)) return { refused: 'Type a number' };
  const number = Number(text);
  if (number < 1) return { refused: 'The first is 1' };
  if (number > total) return { refused: total === 1 ? 'There is 1 row' : `There are ${count(total)} rows` };
  return { row: number - 1 };
}
