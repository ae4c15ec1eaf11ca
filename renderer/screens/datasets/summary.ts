import type { DataFormat, DataReport, DatasetVersion } from '../../../engine/contract.ts';
import { count, plural } from '../../ui/format.ts';

const formatNames: Readonly<Record<DataFormat, string>> = {
  messages: 'Chat messages',
  sharegpt: 'ShareGPT',
  alpaca: 'Alpaca',
  'prompt-completion': 'Prompt and completion',
  text: 'Plain text',
  tokens: 'Token ids',
  unknown: 'Format not known',
};

/**
 * Says in a line what a version of a data set is. Where no row can be used, its format is not known, whatever it was taken for.
 * `report` is that of the rows to train on, or null before it is there.
 */
export function summary(
  { format, trainRows, evalRows, sequence }: Pick<DatasetVersion, 'format' | 'trainRows' | 'evalRows' | 'sequence'>,
  report: Pick<DataReport, 'examples'> | null,
): string {
  const version = `version ${sequence}`;
  if (report?.examples === 0) return `No usable row among ${plural(trainRows, 'row')} · ${version}`;
  return `${formatNames[format]} · ${count(trainRows)} rows to train, ${count(evalRows)} to evaluate · ${version}`;
}
