import type { PastedText } from '../../engine/contract.ts';

/** Limits the length of the name of a column; longer texts are sentences. */
const longestColumn = 40;

/** Guesses what pasted rows are: JSON, a table whose first line names its columns, or text. */
export function pastedFormat(text: string): PastedText['format'] {
  const trimmed = text.trim();
  if (/^[[{]/.test(trimmed)) return 'json';
  const [head = '', ...rows] = trimmed.split(/\r?\n/).filter((line) => line !== '');
  const isTable = ['\t', ',', ';'].some((delimiter) => {
    const names = head.split(delimiter).map((name) => name.trim());
    const isNamed = names.length > 1 && names.every((name) => name !== '' && name.length <= longestColumn);
    return isNamed && rows.length > 0 && rows.every((row) => row.split(delimiter).length >= names.length);
  });
  return isTable ? 'csv' : 'text';
}
