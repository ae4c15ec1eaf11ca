/** Runs the job `columns`, which finds the names of the fields in a file of rows. */
import type { DataColumns, JobSpec } from '../contract.ts';
import { columnsOf } from '../data/fields.ts';
import { rowFiles } from '../data/row-files.ts';

export function runColumns({ path }: Extract<JobSpec, { kind: 'columns' }>): Promise<DataColumns> {
  return columnsOf(rowFiles({ data: { paths: [path] } }).paths[0] ?? path);
}
