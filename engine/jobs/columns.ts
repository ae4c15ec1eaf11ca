/** Jobs `columns` and `map`: what the fields of a data set are called, and a copy of it with fields of a known format. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { ColumnMapping, DataColumns, JobSpec, MappedData } from '../contract.ts';
import { columnsOf } from '../data/fields.ts';
import { readRecords } from '../data/readers/index.ts';
import type { RecordPlace } from '../data/readers/reader.ts';
import { makeFolder } from '../formats/files.ts';
import type { JobPort } from './port.ts';
import { followFile, readUnchanged } from './reading.ts';

export function runColumns({ path }: Extract<JobSpec, { kind: 'columns' }>): Promise<DataColumns> {
  return columnsOf(path);
}

export async function runMap(
  { trainPaths, evalPaths, mapping, out }: Extract<JobSpec, { kind: 'map' }>,
  port: Pick<JobPort, 'send' | 'stopRequested'>,
): Promise<MappedData> {
  makeFolder(out);
  const copies = new Map<string, string>();
  for (const [index, path] of [...trainPaths, ...evalPaths].entries()) {
    const to = join(out, `${index + 1}-${basename(path, extname(path))}.jsonl`);
    await readUnchanged([path], () => mapRows(path, to, mapping, followFile('Copying the rows', path, port)));
    copies.set(path, to);
  }
  const copyOf = (path: string): string => copies.get(path)!;
  return { trainPaths: trainPaths.map(copyOf), evalPaths: evalPaths.map(copyOf) };
}

/** Writes a mapped copy of `path`, which gets its name when it is whole. */
async function mapRows(path: string, to: string, mapping: ColumnMapping, onRow: (place: RecordPlace) => void): Promise<void> {
  const half = `${to}.part`;
  const out = createWriteStream(half);
  for await (const record of readRecords(path, { mapping })) {
    onRow(record);
    if (!out.write(`${JSON.stringify('value' in record ? record.value : null)}\n`)) await once(out, 'drain');
  }
  out.end();
  await finished(out);
  await rename(half, to);
}
