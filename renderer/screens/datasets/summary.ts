import type { DataReport, DatasetVersion } from '../../../engine/contract.ts';
import { kindOf } from '../../state/format-names.ts';
import { count, plural } from '../../ui/format.ts';

/**
 * Describes a version of a data set in one line. Where no row can be used, its format counts as unknown. `report` is that of
 * the training rows, or null before it is ready.
 */
export function summary(
  {
    format,
    mix,
    trainRows,
    evalRows,
    sequence,
  }: Pick<DatasetVersion, 'format' | 'mix' | 'trainRows' | 'evalRows' | 'sequence'>,
  report: (Pick<DataReport, 'examples'> & Partial<Pick<DataReport, 'rows' | 'changed'>>) | null,
): string {
  const version = `version ${sequence}`;
  if (report?.examples === 0) return `No usable row among ${plural(trainRows, 'row')} · ${version}`;
  // Of files that have changed the rows are shown as they are now, and so are their numbers.
  const rows = report?.rows !== undefined && (report.changed?.length ?? 0) > 0 ? report.rows : trainRows;
  const what = mix === null ? kindOf({ format, mix }) : `Mix of ${plural(mix.parts.length, 'data set')}`;
  return `${what} · ${plural(rows, 'row')} to train, ${count(evalRows)} to evaluate · ${version}`;
}
