/** Recognizes objects that are not a row but a table or a part of an answer of a program, to say what they are. */
import { Problem } from '../problem.ts';
import type { Fields } from './columns.ts';

const mostNamed = 8;

/** Returns what an object is that holds rows in a form that is not read, or null where it may be a row. */
export function foreignShape(value: Fields): { readonly what: string; readonly hint: string } | null {
  const names = Object.keys(value);
  const values = Object.values(value);
  if (values.length === 0) return null;
  const named = `${names
    .slice(0, mostNamed)
    .map((name) => `'${name.slice(0, 40)}'`)
    .join(', ')}${names.length > mostNamed ? ' and more' : ''}`;
  if (isObject(value['row']) && 'row_idx' in value)
    return {
      what: "a row as the data viewer of Hugging Face returns it, with its columns within 'row'",
      hint: "Save each 'row' alone, one a line, or name columns within it, as in --map question=row.prompt,answer=row.completion.",
    };
  if (names.length > 1 && values.every((list) => Array.isArray(list) && list.length > 0 && list.every(isObject)))
    return areTurns(names)
      ? null
      : { what: `an object of several lists of rows, ${named}`, hint: 'Write each list of rows into a file of its own.' };
  const isTable = areColumns(names, values) || values.every(isPandasColumn);
  return isTable
    ? {
        what: `an object of columns, ${named}, each with the values of all rows`,
        hint: "Save it row by row: pandas writes that with to_json(path, orient='records', lines=True), datasets with to_json(path).",
      }
    : null;
}

/** Returns the problem of an object that is not a row, or null where it may be one. */
export function foreignProblem(value: Fields): Problem | null {
  const shape = foreignShape(value);
  return shape === null ? null : new Problem('format-unknown', `this is ${shape.what}.`, shape.hint);
}

/** Returns whether a row may have all its columns as lists of objects. */
function areTurns(names: readonly string[]): boolean {
  return names.some((name) => ['messages', 'conversations', 'prompt', 'completion', 'chosen', 'rejected'].includes(name));
}

/** Returns whether all values are lists of the same length without objects, as `to_dict` of datasets returns them. */
function areColumns(names: readonly string[], values: readonly unknown[]): boolean {
  if (names.length === 1 && names[0] !== 'text') return false;
  const [first] = values;
  if (!Array.isArray(first) || first.length === 0) return false;
  return values.every((list) => Array.isArray(list) && list.length === first.length && !list.some(isObject));
}

/** Returns whether a value maps the numbers of rows to values, as `to_json` of pandas writes a column. */
function isPandasColumn(value: unknown): boolean {
  if (!isObject(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => /^\d+$/.test(key));
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
