/** The fields of a file of rows, for a person to say what they mean where no format is known by them. */
import type { DataColumns } from '../contract.ts';
import { detectFormat } from './content.ts';
import { guessMapping } from './guess-mapping.ts';
import { fieldText } from './mapping.ts';
import { readRecords } from './readers/index.ts';

/** As many rows are looked at; fields that only later ones have are not offered. */
const rowsLookedAt = 50;
const exampleLength = 200;

/** Returns the fields of the first rows with an example each, and the format, which is null where nobody knows what the fields mean. */
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
