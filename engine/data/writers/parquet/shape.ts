/** Finds the types of columns: what all values of a field have in common. */

/** The type of a field. What is not one of the others is `json`: its JSON is written as a text that says that it is JSON. */
export type Shape =
  | { readonly kind: 'empty' | 'boolean' | 'integer' | 'number' | 'text' | 'json' }
  | { readonly kind: 'list'; readonly entries: Shape }
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, Shape> };

type Fields = Readonly<Record<string, unknown>>;

const json: Shape = { kind: 'json' };
const empty: Shape = { kind: 'empty' };
const emptyList = { kind: 'list', entries: empty } as const;
/** Lists and objects that lie deeper are written as JSON. */
const deepest = 12;
/** An object with more fields has names for keys, and is written as JSON. */
const mostFields = 200;

/** Returns the shape of values that have the shape `before`, and of one value more; `before` itself where nothing is new. */
function shapeWith(before: Shape, value: unknown, depth: number): Shape {
  if (before.kind === 'json' || value === null || value === undefined) return before;
  if (typeof value === 'object') {
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
  return isNumber(before.kind) && isNumber(kind) ? { kind: 'number' } : json;
}

/** Returns the columns of rows that have the columns `before`, and of one row more, which may have others. */
export function columnsWith(before: ReadonlyMap<string, Shape>, row: Fields): ReadonlyMap<string, Shape> {
  let columns: Map<string, Shape> | null = null;
  for (const [name, value] of Object.entries(row)) {
    const own = before.get(name);
    const shape = shapeWith(own ?? empty, value, 0);
    if (shape !== own) (columns ??= new Map(before)).set(name, shape);
  }
  return columns ?? before;
}

/** The kind of a value that has no others in it. */
function kindOf(value: unknown): 'boolean' | 'integer' | 'number' | 'text' | 'json' {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? 'integer' : 'number';
  // UTF-8 has no half of a character; JSON writes one as an escape.
  return typeof value === 'string' && value.isWellFormed() ? 'text' : 'json';
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
 * The shape of objects. A field that some do not have would come back as null, and stand in a template as such: such objects are JSON, as
 * arguments of different tools are. Turns may differ in their fields, because one that is null is none there.
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
