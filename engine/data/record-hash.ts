/** A record by its content. */
import { createHash } from 'node:crypto';
import type { RecordOrProblem } from './readers/reader.ts';

/** Returns a hash of a record as it is in the file, in 16 characters; of one that cannot be read it is of what is known of it. */
export function hashOf(record: RecordOrProblem): string {
  const text = 'value' in record ? textOf(record.value) : `${record.problem.code} ${record.bytes}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** Text of a value; readers of some formats make numbers that JSON does not have. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one));
}
