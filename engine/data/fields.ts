/** Lists the columns of a file of rows, so that a person can say what they mean where the format is not recognized. */
import type { DataColumns } from '../contract.ts';
import { fieldText } from '../mapped-text.ts';
import { detectFormat } from './content.ts';
import { formatReason } from './format-reason.ts';
import { guessMapping } from './guess-mapping.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { noRow } from './row-files.ts';
import { howRead, readRecords } from './readers/index.ts';

/** Limits how many rows are examined. Columns that appear only in later rows are not offered. */
const rowsLookedAt = 50;
const rowsShown = 5;
const exampleLength = 200;
const shownLength = 4000;
/** Limits how many columns are offered, and how deep within one. */
const mostColumns = 200;
const deepest = 3;

/**
 * Returns the columns of the first rows with an example of each, and the format, or null where the columns match none. Throws a
 * `Problem` where none of these rows can be read, which says why the first cannot.
 */
export async function columnsOf(path: string): Promise<DataColumns> {
  const examples = new Map<string, string>();
  const rows: Readonly<Record<string, unknown>>[] = [];
  let format: DataColumns['format'] = null;
  let reason = '';
  let unread: ProblemValue | null = null;
  let read = 0;
  for await (const record of readRecords(path)) {
    if ('value' in record) {
      const { value } = record;
      format ??= detectFormat(value);
      if (rows.length === 0 || (format !== null && detectFormat(rows[0]!) === null)) reason = formatReason(value).why;
      if (rows.length < rowsShown) rows.push(JSON.parse(JSON.stringify(value, shortened)) as Readonly<Record<string, unknown>>);
      for (const [name, text] of fieldsIn(value))
        if (!examples.get(name) && (examples.has(name) || examples.size < mostColumns)) examples.set(name, text);
    } else unread ??= record.problem;
    if (++read === rowsLookedAt) break;
  }
  if (rows.length === 0) throw unread === null ? noRow([path]) : Problem.fromValue(unread);
  const columns = [...examples].map(([name, example]) => ({ name, example }));
  return { format, reason, read: await howRead(path), guess: guessMapping(columns), columns, rows };
}

/** Yields columns and what is within them, with the text of each. */
function* fieldsIn(row: object, within = '', depth = 1): Generator<readonly [name: string, text: string]> {
  for (const [key, value] of Object.entries(row) as [string, unknown][]) {
    const name = `${within}${key}`;
    yield [name, fieldText(value).slice(0, exampleLength)];
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (isObject && depth < deepest) yield* fieldsIn(value, `${name}.`, depth + 1);
  }
}

/** Cuts long texts where a row is written as JSON. */
function shortened(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'string' && value.length > shownLength ? `${value.slice(0, shownLength)}…` : value;
}
