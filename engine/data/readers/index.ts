/** The table of readers, and which of them reads a file. */
import { extname } from 'node:path';
import type { ColumnMapping } from '../../contract.ts';
import type { DataFileFormat } from '../../data-files.ts';
import { mappedRow } from '../mapping.ts';
import { headOf } from './bytes.ts';
import { jsonLines } from './json-lines.ts';
import { jsonList } from './json-list.ts';
import type { Reader, Reading, RecordOrProblem } from './reader.ts';
import { refuseUnread } from './unread.ts';

/** Asked in this order; the last one takes every text that no other one knows. */
const readers: Readonly<Record<DataFileFormat, Reader>> = { json: jsonList, jsonl: jsonLines };

/** Reads the records of a file of any format. A mapping says what the fields of each are; nothing is copied for it. */
export async function* readRecords(
  path: string,
  { mapping, ...reading }: Reading & { readonly mapping?: ColumnMapping } = {},
): AsyncGenerator<RecordOrProblem> {
  const head = await headOf(path);
  const ending = extname(path).slice(1).toLowerCase();
  const reader = Object.values(readers).find(({ recognise }) => recognise(head, ending))!;
  if (reader === jsonLines) refuseUnread(path, head);
  if (mapping === undefined) yield* reader.read(path, reading);
  else
    for await (const record of reader.read(path, reading))
      yield 'value' in record ? { ...record, value: mappedRow(record.value, mapping) } : record;
}
