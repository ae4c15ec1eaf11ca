/** Applies a person's edits to rows. Each record is changed after it is read and before its mapping is applied. */
import type { DataChange } from '../contract.ts';
import type { RecordOrProblem } from './readers/reader.ts';
import { Binary } from './binary.ts';
import { JsonNumber } from './json-numbers.ts';
import { hashOf } from './record-hash.ts';

/** Describes a change that rewrites records. */
export type Rewriting = Extract<DataChange, { kind: 'edit' | 'replace' }>;

/** Changes a record of a file. It must be called for records in their order. */
export type Rewrite = (record: RecordOrProblem) => RecordOrProblem;

/** Returns the changes that rewrite records. All others choose among records. */
export function rewritings(changes: readonly DataChange[]): readonly Rewriting[] {
  return changes.filter((change): change is Rewriting => change.kind === 'edit' || change.kind === 'replace');
}

/** Returns a function that changes the records of a file from row `from` on, or nothing where no change concerns the file. */
export function rewriteOf(changes: readonly Rewriting[], path: string, from = 0): { readonly rewrite?: Rewrite } {
  if (!changes.some((change) => isOf(change, path))) return {};
  let row = from;
  return { rewrite: (record) => rewrittenRecord(changes, path, row++, record) };
}

/** Returns the record of a row of a file with all changes applied. */
export function rewrittenRecord(
  changes: readonly Rewriting[],
  path: string,
  row: number,
  record: RecordOrProblem,
): RecordOrProblem {
  return changes.reduce((now, change) => (isOf(change, path) ? rewritten(now, change, record, row) : now), record);
}

function isOf(change: Rewriting, path: string): boolean {
  return change.kind === 'replace' || change.path === path;
}

function rewritten(now: RecordOrProblem, change: Rewriting, read: RecordOrProblem, row: number): RecordOrProblem {
  if (change.kind === 'edit') {
    const { line, at, bytes, where } = now;
    // The file may have changed, so that another row now has this number.
    const isMeant = change.row.row === row && change.row.hash === hashOf(read);
    if (!isMeant) return now;
    const value = 'value' in now ? (withBinary(change.value, now.value) as typeof change.value) : change.value;
    return { line, at, bytes, ...(where === undefined ? {} : { where }), value };
  }
  if (!('value' in now)) return now;
  const { find, with: replacement, column } = change;
  const replace = (value: unknown): unknown => replacedIn(value, find, replacement);
  if (column === undefined) return { ...now, value: replace(now.value) as Readonly<Record<string, unknown>> };
  if (!Object.hasOwn(now.value, column)) return now;
  return { ...now, value: { ...now.value, [column]: replace(now.value[column]) } };
}

/** Replaces a text everywhere in a value, except in the names of fields. */
function replacedIn(value: unknown, find: string, replacement: string): unknown {
  if (typeof value === 'string') return value.replaceAll(find, () => replacement);
  if (Array.isArray(value)) return value.map((one) => replacedIn(one, find, replacement));
  if (typeof value !== 'object' || value === null || value instanceof JsonNumber || value instanceof Binary) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, replacedIn(one, find, replacement)]));
}

/** Returns an edited value with the bytes that it has from `before`: a person sees them as base64, and they are not changed. */
function withBinary(value: unknown, before: unknown): unknown {
  if (before instanceof Binary) return value === before.toJSON() ? before : value;
  if (typeof value !== 'object' || value === null || typeof before !== 'object' || before === null) return value;
  if (Array.isArray(value)) return value.map((one, i) => withBinary(one, (before as readonly unknown[])[i]));
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, withBinary(one, (before as Readonly<Record<string, unknown>>)[name])]),
  );
}
