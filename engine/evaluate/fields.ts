/** The measure of the sample: does an answer parse as one JSON object with exactly the required fields. */

/** The keys of the JSON object that `expected` is; null when it is none. */
export function fieldsOf(expected: string): readonly string[] | null {
  const value = parseObject(expected);
  return value && Object.keys(value);
}

/** Whether `answer`, apart from white space around it, is one JSON object with these keys and no other. */
export function hasExactFields(answer: string, fields: readonly string[]): boolean {
  const value = parseObject(answer);
  if (value === null) return false;
  const keys = Object.keys(value);
  return keys.length === fields.length && fields.every((field) => Object.hasOwn(value, field));
}

function parseObject(text: string): Record<string, unknown> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
}
