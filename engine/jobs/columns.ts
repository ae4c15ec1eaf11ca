/** Job `columns`: what the fields of a file of rows are called. */
import type { DataColumns, JobSpec } from '../contract.ts';
import { columnsOf } from '../data/fields.ts';

export function runColumns({ path }: Extract<JobSpec, { kind: 'columns' }>): Promise<DataColumns> {
  return columnsOf(path);
}
