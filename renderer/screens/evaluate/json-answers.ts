/** Returns whether a record holds a JSON object as text, as rows do whose answers are JSON. */
export function hasJsonAnswer(value: unknown): boolean {
  if (typeof value === 'string') return isObject(value.trim());
  return typeof value === 'object' && value !== null && Object.values(value).some(hasJsonAnswer);
}

function isObject(text: string): boolean {
  if (!text.startsWith('{') || !text.endsWith('}')) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
