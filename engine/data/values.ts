/** Reads the values of a row's fields, and refuses values of the wrong kind. */
import { JsonNumber } from './json-numbers.ts';
import { Problem } from '../problem.ts';

export function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** Returns a text that is to be trained. Refuses an empty one, of which only the end token would be trained. */
export function written(value: string, name: string): string {
  if (value.trim() === '') throw new Problem('data-empty', `'${name}' is empty.`, 'Write its text, or remove the row.');
  return value;
}

export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`'${name}' is ${shown(value)}, not a text.`, `Put the text into "${name}".`);
  return wellFormed(value);
}

/** Returns a text, or a number as it is written, because tables of labels hold numbers. */
export function textOrNumber(value: unknown, name: string): string {
  return typeof value === 'number' || value instanceof JsonNumber ? String(value) : text(value, name);
}

export function wellFormed(value: string): string {
  if (!value.isWellFormed())
    throw invalid('a text has half of a surrogate pair, which is no character.', 'Write the file again from its source.');
  return value;
}

export function integers(value: unknown, name: string): Int32Array {
  if (!Array.isArray(value)) throw invalid(`'${name}' is not a list of numbers.`, 'Give token ids as whole numbers.');
  const at = value.findIndex((id) => !Number.isInteger(id) || Math.abs(id as number) > 0x7fffffff);
  if (at >= 0) throw invalid(`'${name}' has ${shown(value[at])} at position ${at}.`, 'Give token ids as whole numbers.');
  return Int32Array.from(value as number[]);
}

/**
 * Returns a value for display, shortened. Objects and lists are named by their kind, because they may be nested without end.
 */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  // JSON has no NaN.
  return typeof value === 'number' ? String(value) : JSON.stringify(value).slice(0, 60);
}

export function invalid(message: string, hint: string): Problem {
  return new Problem('data-invalid', message, hint);
}
