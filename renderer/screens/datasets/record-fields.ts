/** Finds the texts in a record, so that they can be changed one by one. */
type Json = Readonly<Record<string, unknown>>;

export interface RecordText {
  /** `messages.1.content`. */
  readonly name: string;
  readonly path: readonly string[];
  readonly text: string;
}

/** Returns the texts in a record in their order; numbers and the like are left to its JSON. */
function textsIn(value: unknown, path: readonly string[] = []): readonly RecordText[] {
  if (typeof value === 'string') return [{ name: path.join('.'), path, text: value }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) => textsIn(one, [...path, name]));
}

/** Returns the texts to change, those of a message with who says it: that itself is changed as JSON. */
export function changeableTexts(record: unknown): readonly (RecordText & { readonly role: string })[] {
  const all = textsIn(record);
  const isRole = ({ path }: RecordText): boolean => path.length > 2 && ['role', 'from'].includes(path.at(-1)!);
  const placeOf = ({ path }: RecordText): string => path.slice(0, -1).join('.');
  const roles = new Map(all.filter(isRole).map((one) => [placeOf(one), one.text]));
  return all.filter((one) => !isRole(one)).map((one) => ({ ...one, role: roles.get(placeOf(one)) ?? '' }));
}

/** Returns a record with another text at a place. */
export function withText<T>(value: T, [name, ...rest]: readonly string[], text: string): T {
  if (name === undefined) return text as T;
  if (Array.isArray(value)) return value.map((one, i) => (String(i) === name ? withText(one, rest, text) : one)) as T;
  return { ...value, [name]: withText((value as Json)[name], rest, text) };
}

export interface FieldChange {
  readonly name: string;
  /** Is null if the field was not there; `after` is null if it no longer is. */
  readonly before: string | null;
  readonly after: string | null;
}

/** Returns in what two records differ, place by place. */
export function differencesOf(before: unknown, after: unknown, name = ''): readonly FieldChange[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isList = Array.isArray(before);
  if (isObject(before) && isObject(after) && isList === Array.isArray(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
      differencesOf((before as Json)[key], (after as Json)[key], name === '' ? key : `${name}.${key}`),
    );
  return [{ name, before: shownValue(before), after: shownValue(after) }];
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function shownValue(value: unknown): string | null {
  if (value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Reads a record as it is typed. */
export function parseRecord(text: string): { readonly record: Json } | { readonly error: string } {
  try {
    const record: unknown = JSON.parse(text);
    if (!isObject(record) || Array.isArray(record)) return { error: 'A row is an object: { "column": … }.' };
    return { record: record as Json };
  } catch (error) {
    return { error: `This is not JSON yet: ${error instanceof Error ? error.message : String(error)}.` };
  }
}
