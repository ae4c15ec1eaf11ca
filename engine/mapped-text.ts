/**
 * Makes texts of the columns of a row, as a mapping says. The window shows with it what a mapping produces while it is typed, and
 * the engine reads rows with it, so that the two cannot differ.
 */

/**
 * Says where a text comes from: a column by its name, a template such as `{title}: {body}`, or a text that is the same in all
 * rows.
 */
export type MappedText = string | { readonly template: string } | { readonly constant: string };
/** Says which column holds what. Without a question the answer is plain text. */
export interface ColumnMapping {
  readonly question: MappedText | null;
  readonly answer: MappedText;
  readonly system: MappedText | null;
}

type Fields = Readonly<Record<string, unknown>>;

const placeholder = /\{\{|\}\}|\{([^{}]*)\}/g;

/** Returns the columns that a text is made of. */
export function columnsIn(text: MappedText | null): string[] {
  if (text === null) return [];
  if (typeof text === 'string') return [text];
  if ('constant' in text) return [];
  return [...text.template.matchAll(placeholder)].flatMap(([, name]) => (name === undefined ? [] : [name]));
}

/**
 * Returns the value of the column of that name, or else of the field within a column that the name leads to, as in `meta.answer`,
 * `turns[0].text` and `choices.0.text`; `turns[-1]` is the last entry. Returns undefined if there is neither.
 */
export function fieldAt(row: Fields, name: string): unknown {
  if (Object.hasOwn(row, name)) return row[name];
  let value: unknown = row;
  for (const part of name.replace(/\[(-?\d+)\](?=$|[.[])/g, '.$1').split('.')) {
    if (Array.isArray(value)) value = /^-?\d+$/.test(part) ? (value as unknown[]).at(Number(part)) : undefined;
    else if (typeof value === 'object' && value !== null && Object.hasOwn(value, part)) value = (value as Fields)[part];
    else return undefined;
  }
  return value;
}

/** Returns a row in the fields of a known format: `instruction` and `output`, or `text`. */
export function mappedRow(row: Fields, { question, answer, system }: ColumnMapping): Fields {
  if (question === null) return { text: textOf(row, answer) };
  return {
    ...(system === null ? {} : { system: textOf(row, system) }),
    instruction: textOf(row, question),
    output: textOf(row, answer),
  };
}

function textOf(row: Fields, text: MappedText): string {
  if (typeof text === 'string') return fieldText(fieldAt(row, text));
  if ('constant' in text) return text.constant;
  return text.template.replace(placeholder, (written, name?: string) =>
    name === undefined ? written.charAt(0) : fieldText(fieldAt(row, name)),
  );
}

/** Returns a field as text. A value that is not a text is written as JSON, because an answer may be an object. */
export function fieldText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
