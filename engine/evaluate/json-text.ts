/** Reads JSON out of answers, and compares its values. */
import { normalized } from './text.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** Holds a value of JSON, and whether it stood alone or in a fenced block. */
export interface FoundJson {
  readonly value: unknown;
  readonly fenced: boolean;
}

const fence = /^[ \t]*(`{3,}|~{3,})[^\n`]*\n([\s\S]*?)\n[ \t]*\1[ \t]*$/gm;

/** Parses a text as JSON, or the only fenced block in it that is JSON. Returns null when it holds none. */
export function foundJson(text: string): FoundJson | null {
  const whole = parsedJson(text);
  if (whole !== null) return { ...whole, fenced: false };
  const blocks = [...text.matchAll(fence)].flatMap(([, , inside]) => parsedJson(inside!) ?? []);
  return blocks.length === 1 ? { ...blocks[0]!, fenced: true } : null;
}

/** Parses `text` as one JSON object with white space around it; returns null when it is anything else. */
export function jsonObject(text: string): Fields | null {
  return asObject(parsedJson(text)?.value);
}

export function asObject(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** Describes in two or three words an answer that is not a JSON object. */
export function notAnObject(answer: string): string {
  if (parsedJson(answer) !== null) return 'no JSON object';
  return /^\s*[{[]/.test(answer) ? 'broken JSON' : 'no JSON';
}

/** Parses JSON; returns null when the text is none. */
export function parsedJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

/**
 * Returns whether two JSON values are equal, whatever the order of keys. Dates of ISO 8601 are compared as points in time. It
 * keeps a stack of its own, because JSON may be nested to any depth.
 */
export function isSameJson(one: unknown, other: unknown, text: 'exact' | 'normalized' = 'exact'): boolean {
  const pairs: [unknown, unknown][] = [[one, other]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [a, b] = pair;
    if (a === b) continue;
    if (typeof a === 'string' && typeof b === 'string' && isSameText(a, b, text)) continue;
    if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
    if (Array.isArray(a) !== Array.isArray(b) || Object.keys(a).length !== Object.keys(b).length) return false;
    for (const [key, value] of Object.entries(a)) {
      if (!Object.hasOwn(b, key)) return false;
      pairs.push([value, (b as Fields)[key]]);
    }
  }
  return true;
}

function isSameText(a: string, b: string, text: 'exact' | 'normalized'): boolean {
  if (text === 'normalized' && normalized(a) === normalized(b)) return true;
  const time = pointInTime(a);
  return time !== null && time === pointInTime(b);
}

const isoDate = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(Z|[+-]\d{2}:\d{2})?)?$/;

/** Returns the milliseconds of a date of ISO 8601, or null. A date is its midnight, and a time without a zone is in UTC. */
function pointInTime(text: string): number | null {
  const [, year, month, day, time, zone] = isoDate.exec(text) ?? [];
  if (year === undefined || month === undefined || day === undefined) return null;
  const date = `${year}-${month}-${day}`;
  const midnight = Date.parse(`${date}T00:00:00Z`);
  // JavaScript takes the 30th of February for the 2nd of March.
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== date) return null;
  const at = Date.parse(`${date}T${time ?? '00:00'}${zone ?? 'Z'}`);
  return Number.isNaN(at) ? null : at;
}
