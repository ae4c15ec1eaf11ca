/** Jobs `columns` and `map`: what the fields of a data set are called, and a copy of it with fields of a known format. */
import { basename, extname, join } from 'node:path';
import type { DataColumns, JobSpec, MappedData } from '../contract.ts';
import { columnsOf, mapRows } from '../data/mapping.ts';
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
