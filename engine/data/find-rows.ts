/** Looks for a text in the rows of a data set, and returns a row as it is written. */
import type { FoundRow } from '../contract.ts';
import type { ReadingWatch, Rows } from './row.ts';

/** A search answers when it has found so many rows, or has looked for so long. */
const rowsFound = 100;
const milliseconds = 500;
/** Characters that are shown before and after what was found. */
const around = 60;

/**
 * Looks for a text in the rows from row `from` on, in upper and lower case, until some are found or a while has passed; `next` is the row to
 * go on from, null at the end.
 */
export async function findRows(
  source: Rows,
  { text, from }: { readonly text: string; readonly from: number },
  watch: ReadingWatch,
): Promise<{ readonly found: readonly FoundRow[]; readonly next: number | null }> {
  const wanted = new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'iu');
  const found: FoundRow[] = [];
  const start = performance.now();
  for await (const { records } of source.records(from, watch)) {
    for (const { record, index, copy } of records) {
      if (index < from || copy > 0 || !('value' in record)) continue;
      const match = matchIn(record.value, wanted);
      if (match !== null) found.push({ row: index, line: record.line, ...match });
    }
    const last = records.at(-1)?.index ?? -1;
    if (last >= from && (found.length >= rowsFound || performance.now() - start > milliseconds))
      return { found, next: last + 1 === source.total ? null : last + 1 };
  }
  return { found, next: null };
}

/** Finds a text in the first value of a row that has it, however deep it lies. */
function matchIn(value: unknown, wanted: RegExp): Pick<FoundRow, 'before' | 'found' | 'after'> | null {
  if (typeof value === 'string' || typeof value === 'number') {
    const text = String(value);
    const match = wanted.exec(text);
    if (match === null) return null;
    const [at, end] = [match.index, match.index + match[0].length];
    return {
      before: text.slice(Math.max(0, at - around), at).toWellFormed(),
      found: match[0],
      after: text.slice(end, end + around).toWellFormed(),
    };
  }
  if (typeof value !== 'object' || value === null) return null;
  for (const one of Object.values(value)) {
    const match = matchIn(one, wanted);
    if (match !== null) return match;
  }
  return null;
}

/** Returns a row as JSON, indented, with what was done to it; null where it cannot be read. */
export async function recordText(source: Rows, row: number, watch: ReadingWatch): Promise<string | null> {
  for await (const { records } of source.records(row, watch)) {
    const own = records.find(({ index }) => index === row);
    if (own !== undefined) return 'value' in own.record ? JSON.stringify(own.record.value, null, 2) : null;
  }
  return null;
}
