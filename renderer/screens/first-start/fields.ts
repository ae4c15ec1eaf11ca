/** How many of the required fields an answer has as a JSON object; null when it is none. */
export function fieldsFound(answer: string, required: readonly string[]): number | null {
  try {
    const value: unknown = JSON.parse(answer);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return required.filter((field) => field in value).length;
  } catch {
    return null;
  }
}
