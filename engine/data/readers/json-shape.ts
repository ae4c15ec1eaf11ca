/** Recognizes how a JSON file is structured by its beginning. */
import { dataFiles } from '../../data-files.ts';
import { parseJson } from './json-text.ts';
import type { RecordPlace } from './reader.ts';
import type { Source } from './source.ts';

export type JsonShape =
  /** The file is a list of objects. */
  | { readonly kind: 'list' }
  /** The file has an object on each line. */
  | { readonly kind: 'lines' }
  /**
   * The file has objects one after another, each over several lines or several on one. `nested` says whether objects inside
   * others begin a line too.
   */
  | { readonly kind: 'objects'; readonly nested: boolean }
  /** The file is an object, one field of which is the list of rows, which begins at `place`. */
  | { readonly kind: 'wrapped'; readonly field: string; readonly place: RecordPlace };

/** Lists the fields that are lists of objects within a row. */
const listsInRows: ReadonlySet<string> = new Set([
  ...['messages', 'conversations', 'conversation', 'prompt', 'completion', 'chosen', 'rejected'],
  ...['tools', 'functions', 'documents', 'history', 'content'],
]);
/** Lists the endings of files that may begin with a bracket or a brace and are not JSON. */
const bracketed: ReadonlySet<string> = new Set([...dataFiles.text.endings, ...dataFiles.csv.endings]);
const inLists = /^\[\s*(\{|\]|$)/;

/** Returns how the JSON of a file is structured, or null where it does not begin like JSON. */
export function jsonShape({ head, ending }: Source): JsonShape | null {
  // Latin-1 gives one character per byte. The syntax of JSON is ASCII, so places in this text are places in the file.
  const text = head.bytes.toString('latin1');
  if (text.startsWith('[')) return bracketed.has(ending) && !inLists.test(text) ? null : { kind: 'list' };
  if (!text.startsWith('{')) return null;
  const lines = text.split('\n');
  const whole = head.isWhole ? lines : lines.slice(0, -1);
  const isRow = (line: string) => line.startsWith('{') && isObject(parsed(line));
  const rows = whole.filter(isRow).slice(0, 2).length;
  const first = firstObject(text);
  const alone = first.end !== null && head.isWhole && text.slice(first.end).trim() === '';
  if (rows > 0 && !(alone && isWrapper(parsed(text)))) return { kind: 'lines' };
  if (bracketed.has(ending) && !isObject(parsed(text.slice(0, first.end ?? 0)))) return null;
  const list = first.lists.find(({ field }, _, all) => !listsInRows.has(field) && !(field === 'features' && all.some(isRows)));
  const wrapped = (): JsonShape | null =>
    list === undefined
      ? null
      : {
          kind: 'wrapped',
          field: Buffer.from(list.field, 'latin1').toString(),
          place: { line: head.line + text.slice(0, list.at).split('\n').length - 1, at: head.at + list.at },
        };
  if (alone) return (isWrapper(parsed(text)) ? wrapped() : null) ?? { kind: 'objects', nested: first.nested };
  if (first.end === null)
    return wrapped() ?? (lines.length > 2 ? { kind: 'objects', nested: first.nested } : { kind: 'lines' });
  return /^[\s,]*\{/.test(text.slice(first.end)) ? { kind: 'objects', nested: first.nested } : { kind: 'lines' };
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns whether exactly one field of an object is a list of objects that is not a usual field of a row. */
function isWrapper(value: unknown): boolean {
  if (!isObject(value)) return false;
  const lists = Object.entries(value).flatMap(([field, entry]) =>
    Array.isArray(entry) && isObject(entry[0]) ? [{ field }] : [],
  );
  const [list, other] = lists.some(isRows) ? lists.filter(({ field }) => field !== 'features') : lists;
  return list !== undefined && other === undefined && !listsInRows.has(list.field);
}

/** Returns whether a field has the rows in an answer of the data viewer of Hugging Face, whose `features` describe their columns. */
function isRows({ field }: { readonly field: string }): boolean {
  return field === 'rows';
}

interface FirstObject {
  /** Gives the position after the object, or null where it does not end in `text`. */
  readonly end: number | null;
  /** Lists its own fields that are lists of objects, and where each begins. */
  readonly lists: readonly { readonly field: string; readonly at: number }[];
  readonly nested: boolean;
}

/** Scans the first object of a text. */
function firstObject(text: string): FirstObject {
  const lists: { field: string; at: number }[] = [];
  let depth = 0;
  let nested = false;
  let field = '';
  const tokens = /"(?:[^"\\]|\\.)*"?|[[\]{}]/gs;
  for (let token = tokens.exec(text); token !== null; token = tokens.exec(text)) {
    const [what] = token;
    if (what.startsWith('"')) {
      if (depth === 1) field = what.slice(1, -1);
    } else if (what === '{' || what === '[') {
      if (what === '{' && depth > 0 && text[token.index - 1] === '\n') nested = true;
      if (what === '[' && depth === 1 && /^\[\s*\{/.test(text.slice(token.index, token.index + 4096)))
        lists.push({ field, at: token.index });
      depth++;
    } else if (--depth === 0) return { end: token.index + 1, lists, nested };
  }
  return { end: null, lists, nested };
}
