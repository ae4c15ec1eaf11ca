/** Derives the types of columns from what all values of a field have in common. */
import { Binary } from '../../binary.ts';
import type { KeptType } from '../../readers/parquet/kept-types.ts';
import { JsonNumber } from '../../json-numbers.ts';

/** Describes the type of a field. Anything that is none of the other types is `json`: a text marked as JSON. */
export type Shape =
  | { readonly kind: 'empty' | 'boolean' | 'integer' | 'number' | 'text' | 'binary' | 'json' }
  /** Whole numbers of a type that another Parquet file had; rows have them as texts or numbers. */
  | { readonly kind: 'kept'; readonly type: KeptType }
  | { readonly kind: 'list'; readonly entries: Shape }
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, Shape> };

type Fields = Readonly<Record<string, unknown>>;

const json: Shape = { kind: 'json' };
const empty: Shape = { kind: 'empty' };
const emptyList = { kind: 'list', entries: empty } as const;
/** Limits the depth of nesting. Lists and objects nested deeper are written as JSON. */
const deepest = 12;
/** Limits the fields of an object. An object with more probably uses ids or words as keys, and is written as JSON. */
const mostFields = 200;

/**
 * Returns the shape of values that have the shape `before` and of one more value. Returns `before` itself where nothing
 * changes.
 */
function shapeWith(before: Shape, value: unknown, depth: number): Shape {
  if (before.kind === 'json' || value === null || value === undefined) return before;
  if (typeof value === 'object' && !(value instanceof JsonNumber) && !(value instanceof Binary)) {
    if (depth >= deepest) return json;
    if (Array.isArray(value)) {
      if (before.kind !== 'list' && before.kind !== 'empty') return json;
      return withEntries(before.kind === 'list' ? before : emptyList, value, depth);
    }
    if (before.kind !== 'object' && before.kind !== 'empty') return json;
    return withFields(before.kind === 'object' ? before : null, value as Fields, depth);
  }
  const kind = kindOf(value);
  if (before.kind === kind) return before;
  if (before.kind === 'empty') return { kind };
  // Bytes that happen to be UTF-8 are read as text, and both are bytes.
  if (isBytes(before.kind) && isBytes(kind)) return { kind: 'binary' };
  return isNumber(before.kind) && isNumber(kind) ? { kind: 'number' } : json;
}

/** Returns the columns of rows that have the columns `before` and of one more row, which may have others. */
export function columnsWith(before: ReadonlyMap<string, Shape>, row: Fields): ReadonlyMap<string, Shape> {
  let columns: Map<string, Shape> | null = null;
  for (const [name, value] of Object.entries(row)) {
    const own = before.get(name);
    const shape = shapeWith(own ?? empty, value, 0);
    if (shape !== own) (columns ??= new Map(before)).set(name, shape);
  }
  return columns ?? before;
}

/** Returns the kind of a value that contains no others. */
function kindOf(value: unknown): 'boolean' | 'integer' | 'number' | 'text' | 'binary' | 'json' {
  if (value instanceof Binary) return 'binary';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? 'integer' : 'number';
  // UTF-8 cannot express half of a surrogate pair, but JSON can, as an escape.
  return typeof value === 'string' && value.isWellFormed() ? 'text' : 'json';
}

function isBytes(kind: Shape['kind']): boolean {
  return kind === 'text' || kind === 'binary';
}

function isNumber(kind: Shape['kind']): boolean {
  return kind === 'integer' || kind === 'number';
}

function withEntries(before: Extract<Shape, { kind: 'list' }>, values: readonly unknown[], depth: number): Shape {
  let { entries } = before;
  for (const value of values) entries = shapeWith(entries, value, depth + 1);
  return entries === before.entries ? before : { kind: 'list', entries };
}

/**
 * Returns the shape of objects. A field that some of them lack would be read back as null, and appear as such in a template; so
 * objects with different fields, such as the arguments of different tools, are JSON. Turns may differ in their fields, because
 * there null means absent.
 */
function withFields(before: Extract<Shape, { kind: 'object' }> | null, value: Fields, depth: number): Shape {
  const names = Object.keys(value);
  if (names.length === 0 || names.length > mostFields) return json;
  const known = before?.fields ?? new Map<string, Shape>();
  const isSame = before === null || (names.length === known.size && names.every((name) => known.has(name)));
  const isTurn = ['role', 'from'].some((name) => name in value && (before === null || known.has(name)));
  if (!isSame && !isTurn) return json;
  let fields: Map<string, Shape> | null = before === null ? new Map() : null;
  for (const name of names) {
    const own = known.get(name);
    const shape = shapeWith(own ?? empty, value[name], depth + 1);
    if (shape !== own) (fields ??= new Map(known)).set(name, shape);
  }
  if (fields === null) return before!;
  return fields.size > mostFields ? json : { kind: 'object', fields };
}
