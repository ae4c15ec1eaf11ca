/** Rows in fields that no format has: what a person has said that they mean. */
import type { ColumnMapping } from '../contract.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns a row in the fields of a known format. A row without the answer stays what it is, so that the checks name it.
 */
export function mappedRow(row: Fields, { question, answer, system }: ColumnMapping): Fields {
  if (!(answer in row)) return row;
  if (question === null) return { text: fieldText(row[answer]) };
  return {
    ...(system === null ? {} : { system: fieldText(row[system]) }),
    instruction: fieldText(row[question]),
    output: fieldText(row[answer]),
  };
}

/** Returns a field as text; what is no text is written as JSON, because an answer may be an object. */
export function fieldText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
