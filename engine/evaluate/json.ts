/**
 * Scores with the evaluators `json-fields` and `json-values` how many fields and values of the expected JSON object an answer
 * has.
 */
import type { AnswerEvaluator } from './evaluator.ts';

type Fields = Readonly<Record<string, unknown>>;

export const jsonFields: AnswerEvaluator = {
  name: 'json-fields',
  needs: 'answers',
  score({ expected }, answer) {
    const wanted = jsonObject(expected);
    if (wanted === null) return null;
    const fields = compareFields(answer, wanted);
    if (fields === null) return { state: 'bad', text: notAnObject(answer), measures: { 'json-fields': 0 } };
    const more = fields.others > 0 ? `, ${fields.others} too many` : '';
    return {
      state: fields.exact ? 'good' : 'caution',
      text: `${fields.found} of ${fields.expected} fields${more}`,
      measures: { 'json-fields': fields.exact ? 1 : 0 },
    };
  },
};

export const jsonValues: AnswerEvaluator = {
  name: 'json-values',
  needs: 'answers',
  score(row, answer) {
    const shape = jsonFields.score(row, answer);
    if (shape === null) return null;
    const fields = compareFields(answer, jsonObject(row.expected)!);
    const { expected, right, exact } = fields ?? { expected: 1, right: 0, exact: false };
    const measures = { 'json-values': expected === 0 ? Number(exact) : right / expected };
    if (!exact) return { ...shape, measures };
    return right === expected
      ? { state: 'good', text: 'as expected', measures }
      : { state: 'caution', text: `${right} of ${expected} right`, measures };
  },
};

/** Parses `text` as one JSON object with white space around it; returns null when it is anything else. */
export function jsonObject(text: string): Fields | null {
  const value = parsed(text)?.value;
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** Compares the JSON object of an answer with the expected one. */
interface ComparedFields {
  /** Gives the number of fields of the expected object. */
  readonly expected: number;
  /** Gives the number of these fields that the answer has. */
  readonly found: number;
  /** Gives the number of fields that only the answer has. */
  readonly others: number;
  /** Gives the number of expected fields that the answer has with the same value, whatever the order of keys in it. */
  readonly right: number;
  /** Says whether the answer has all of the expected fields and no other. */
  readonly exact: boolean;
}

/** Compares an answer with the expected object field by field; returns null when the answer is not a JSON object. */
function compareFields(answer: string, expected: Fields): ComparedFields | null {
  const given = jsonObject(answer);
  if (given === null) return null;
  const names = Object.keys(expected);
  const present = names.filter((name) => Object.hasOwn(given, name));
  const right = present.filter((name) => isSame(given[name], expected[name]));
  const others = Object.keys(given).length - present.length;
  return {
    ...{ expected: names.length, found: present.length, others, right: right.length },
    exact: present.length === names.length && others === 0,
  };
}

/**
 * Returns whether two JSON values are equal, whatever the order of keys. It keeps a stack of its own, because JSON may be
 * nested to any depth.
 */
function isSame(one: unknown, other: unknown): boolean {
  const pairs: [unknown, unknown][] = [[one, other]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [a, b] = pair;
    if (a === b) continue;
    if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
    if (Array.isArray(a) !== Array.isArray(b) || Object.keys(a).length !== Object.keys(b).length) return false;
    for (const [key, value] of Object.entries(a)) {
      if (!Object.hasOwn(b, key)) return false;
      pairs.push([value, (b as Fields)[key]]);
    }
  }
  return true;
}

/** Describes in two or three words an answer that is not a JSON object. */
function notAnObject(answer: string): string {
  if (parsed(answer) !== null) return 'no JSON object';
  return answer.trim().startsWith('{') ? 'broken JSON' : 'no JSON';
}

function parsed(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}
