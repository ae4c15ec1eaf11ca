import type { PastedText } from '../../engine/contract.ts';

/** Limits the length of the name of a column; longer texts are sentences. */
const longestColumn = 40;

/** Guesses what pasted rows are: JSON, a table whose first line names its columns, or text. */
export function pastedFormat(text: string): PastedText['format'] {
  const trimmed = text.trim();
  if (/^[[{]/.test(trimmed)) return 'json';
  const isTable = ['\t', ',', ';'].some((delimiter) => {
    const [head = [], ...rows] = rowsOf(trimmed, delimiter);
    const isNamed = head.length > 1 && head.every((name) => name.trim() !== '' && name.length <= longestColumn);
    return isNamed && rows.length > 0 && rows.every((row) => row.length >= head.length);
  });
  return isTable ? 'csv' : 'text';
}

/** Returns the cells of each row that is not empty. A cell in quotes may hold delimiters and line breaks. */
function rowsOf(text: string, delimiter: string): string[][] {
  const rows: string[][] = [[]];
  const cell = new RegExp(`("(?:[^"]|"")*"(?=[${delimiter}\\r\\n]|$)|[^${delimiter}\\r\\n]*)(${delimiter}|\\r?\\n|\\r|$)`, 'y');
  for (let match = cell.exec(text); match !== null && match[0] !== ''; match = cell.exec(text)) {
    const [, value = '', end] = match;
    rows.at(-1)!.push(value);
    if (end !== delimiter) rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || (row[0] ?? '') !== '');
}
