/** How an answer stands to the expected one, in a few words. */
export interface Verdict {
  readonly state: 'good' | 'caution' | 'bad';
  readonly text: string;
}

/** Null when nothing was expected. Where one JSON object was expected, its fields count; elsewhere only the same words do. */
export function judge(answer: string, expected: string): Verdict | null {
  if (expected.trim() === '') return null;
  const same: Verdict = { state: 'good', text: 'as expected' };
  if (answer.trim() === expected.trim()) return same;
  const wanted = objectIn(expected);
  if (wanted === null) return { state: 'caution', text: 'differs' };
  const found = objectIn(answer);
  if (found === null) return { state: 'bad', text: answer.trim().startsWith('{') ? 'broken JSON' : 'no JSON' };
  const names = Object.keys(wanted);
  const present = names.filter((name) => Object.hasOwn(found, name));
  if (present.length < names.length || Object.keys(found).length > names.length)
    return { state: 'caution', text: `${present.length} of ${names.length} fields` };
  const right = names.filter((name) => JSON.stringify(found[name]) === JSON.stringify(wanted[name])).length;
  return right === names.length ? same : { state: 'caution', text: `${right} of ${names.length} right` };
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
