/** Rows in fields that no format has: which fields there are, and a copy in which a person has said what they mean. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import type { ColumnMapping, DataColumns } from '../contract.ts';
import { readRecords, type RecordPlace } from './records.ts';
import { detectFormat } from './content.ts';

/** As many rows are looked at; fields that only later ones have are not offered. */
const rowsLookedAt = 50;
const exampleLength = 200;

/** The fields of the first rows with an example each, and the format, which is null where nobody knows what the fields mean. */
export async function columnsOf(path: string): Promise<DataColumns> {
  const examples = new Map<string, string>();
  let format: DataColumns['format'] = null;
  let rows = 0;
  for await (const record of readRecords(path)) {
    if ('value' in record) {
      format ??= detectFormat(record.value);
      for (const [name, value] of Object.entries(record.value))
        if (!examples.get(name)) examples.set(name, textOf(value).slice(0, exampleLength));
    }
    if (++rows === rowsLookedAt) break;
  }
  return { format, columns: [...examples].map(([name, example]) => ({ name, example })) };
}

/**
 * Writes a copy of `path` in which every row has the fields of a known format; the copy gets its name when it is whole. A row
 * without the answer, or one that cannot be read, stays what it is, so that the checks name it.
 */
export async function mapRows(
  path: string,
  to: string,
  { question, answer, system }: ColumnMapping,
  onRow: (place: RecordPlace) => void = () => {},
): Promise<void> {
  const half = `${to}.part`;
  const out = createWriteStream(half);
  for await (const record of readRecords(path)) {
    onRow(record);
    const row = 'value' in record ? record.value : null;
    const mapped =
      row === null || !(answer in row)
        ? row
        : question === null
          ? { text: textOf(row[answer]) }
          : {
              ...(system === null ? {} : { system: textOf(row[system]) }),
              instruction: textOf(row[question]),
              output: textOf(row[answer]),
            };
    if (!out.write(`${JSON.stringify(mapped)}\n`)) await once(out, 'drain');
  }
  out.end();
  await finished(out);
  await rename(half, to);
}

/** What is no text is written as JSON: an answer may be an object. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
