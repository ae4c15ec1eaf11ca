/** Lists the fields of a file whose format is not recognized, so that a person can say what they mean. */
import type { DataColumns } from '../contract.ts';
import { detectFormat } from './content.ts';
import { guessMapping } from './guess-mapping.ts';
import { fieldText } from './mapping.ts';
import { readRecords } from './readers/index.ts';

/** Limits how many rows are examined. Fields that appear only in later rows are not offered. */
const rowsLookedAt = 50;
const exampleLength = 200;

/** Returns the fields of the first rows with an example of each, and the format, or null where the fields match none. */
export async function columnsOf(path: string): Promise<DataColumns> {
  const examples = new Map<string, string>();
  let format: DataColumns['format'] = null;
  let rows = 0;
  for await (const record of readRecords(path)) {
    if ('value' in record) {
      format ??= detectFormat(record.value);
      for (const [name, value] of Object.entries(record.value))
        if (!examples.get(name)) examples.set(name, fieldText(value).slice(0, exampleLength));
    }
    if (++rows === rowsLookedAt) break;
  }
  const columns = [...examples].map(([name, example]) => ({ name, example }));
  return { format, guess: guessMapping(columns), columns };
}
