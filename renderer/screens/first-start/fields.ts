/** How an answer stands to the fields it should have. Null when it is no JSON object. */
export function fieldsFound(answer: string, required: readonly string[]): { found: number; others: number } | null {
  try {
    const value: unknown = JSON.parse(answer);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    const found = required.filter((field) => Object.hasOwn(value, field)).length;
    return { found, others: Object.keys(value).length - found };
  } catch {
    return null;
  }
}
