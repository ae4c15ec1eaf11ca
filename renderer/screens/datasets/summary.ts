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
 * Describes a version of a data set in one line. Where no row can be used, its format counts as unknown. `report` is that of
 * the training rows, or null before it is ready.
 */
export function summary(
  { format, trainRows, evalRows, sequence }: Pick<DatasetVersion, 'format' | 'trainRows' | 'evalRows' | 'sequence'>,
  report: Pick<DataReport, 'examples'> | null,
): string {
  const version = `version ${sequence}`;
  if (report?.examples === 0) return `No usable row among ${plural(trainRows, 'row')} · ${version}`;
  return `${formatNames[format]} · ${count(trainRows)} rows to train, ${count(evalRows)} to evaluate · ${version}`;
}
