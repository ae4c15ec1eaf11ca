/** Identifies a record by its content. */
import { createHash } from 'node:crypto';
import type { ProblemValue } from '../problem.ts';

/**
 * Returns a hash of a record as it is in the file, in 16 characters. For a record that cannot be read, the hash is of what is
 * known about it.
 */
export function hashOf(
  record: { readonly value: unknown } | { readonly problem: ProblemValue; readonly bytes: number },
): string {
  const text = 'value' in record ? textOf(record.value) : `${record.problem.code} ${record.bytes}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** Returns the text of a value. Readers of some formats return numbers that JSON cannot express. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one));
}
