/**
 * Scores with the evaluators `json-fields` and `json-values` how many fields and values of the expected JSON object an answer
 * has.
 */
import { type AnswerEvaluator, answerKind } from './evaluator.ts';
import { asObject, type Fields, foundJson, isSameJson, jsonObject, notAnObject } from './json-text.ts';
import { type OptionTable, type OptionValues, textOption } from './options.ts';

const fencedOption = {
  fenced: { kind: 'flag', otherwise: false, help: 'reads the object out of a fenced block of Markdown too' },
} as const satisfies OptionTable;
const valueOptions = { ...fencedOption, text: textOption } as const;
type ValueOptions = OptionValues<typeof valueOptions>;
const plain: ValueOptions = { fenced: false, text: 'exact' };

function fieldsEvaluator({ fenced }: { readonly fenced: boolean }): Pick<AnswerEvaluator, 'score'> {
  return {
    score({ expected }, answer) {
      const wanted = jsonObject(expected);
      if (wanted === null) return null;
      const fields = compareFields(answer, wanted, { ...plain, fenced });
      if (fields === null) return { state: 'bad', text: notAnObject(answer), measures: { 'json-fields': 0 } };
      const more = fields.others > 0 ? `, ${fields.others} too many` : '';
      return {
        state: fields.exact ? 'good' : 'caution',
        text: `${fields.found} of ${fields.expected} fields${more}`,
        measures: { 'json-fields': fields.exact ? 1 : 0 },
      };
    },
  };
}

function valuesEvaluator(options: ValueOptions): Pick<AnswerEvaluator, 'score'> {
  const shapes = fieldsEvaluator(options);
  return {
    score(row, answer) {
      const shape = shapes.score(row, answer);
      if (shape === null) return null;
      const fields = compareFields(answer, jsonObject(row.expected)!, options);
      const { expected, found, others, right, exact } = fields ?? { expected: 1, found: 0, others: 1, right: 0, exact: false };
      const share = (of: number): number => (of === 0 ? Number(exact) : right / of);
      // The recall of a row is the share of its fields that are right, which is `json-values`.
      const measures = { 'json-values': share(expected), 'json-precision': share(found + others) };
      if (!exact) return { ...shape, measures };
      return right === expected
        ? { state: 'good', text: 'as expected', measures }
        : { state: 'caution', text: `${right} of ${expected} right`, measures };
    },
  };
}

export const jsonFields = answerKind({
  name: 'json-fields',
  summary: 'the answer is a JSON object with exactly the expected fields',
  options: fencedOption,
  open: fieldsEvaluator,
});
export const jsonValues = answerKind({
  name: 'json-values',
  summary:
    'share of the expected fields that have the expected value (recall), and of the given fields that are right (precision)',
  options: valueOptions,
  open: valuesEvaluator,
});

/** Counts over many rows what became of one field. */
export interface FieldCounts {
  readonly field: string;
  /** Gives the number of rows whose own answer has the field. */
  readonly expected: number;
  /** Gives the number of answers that have the field, expected or not. */
  readonly given: number;
  /** Gives the number of answers that have the field with the expected value. */
  readonly right: number;
  /** Gives the share of the given values that are right, or null where none was given. */
  readonly precision: number | null;
  /** Gives the share of the expected values that were given, or null where none was expected. */
  readonly recall: number | null;
}

/** Counts the fields of all rows one by one, most expected first. Rows whose own answer is no JSON object do not count. */
export function fieldTable(
  rows: readonly { readonly expected: string; readonly answer: string }[],
  options: Partial<ValueOptions> = {},
): FieldCounts[] {
  const { fenced, text } = { ...plain, ...options };
  const counts = new Map<string, { expected: number; given: number; right: number }>();
  const of = (field: string) => {
    const known = counts.get(field) ?? { expected: 0, given: 0, right: 0 };
    counts.set(field, known);
    return known;
  };
  for (const { expected, answer } of rows) {
    const wanted = jsonObject(expected);
    if (wanted === null) continue;
    const given = givenObject(answer, fenced) ?? {};
    for (const [field, value] of Object.entries(wanted)) {
      of(field).expected++;
      if (Object.hasOwn(given, field) && isSameJson(given[field], value, text)) of(field).right++;
    }
    for (const field of Object.keys(given)) of(field).given++;
  }
  return [...counts]
    .map(([field, own]) => ({
      ...{ field, ...own },
      precision: own.given === 0 ? null : own.right / own.given,
      recall: own.expected === 0 ? null : own.right / own.expected,
    }))
    .toSorted((a, b) => b.expected - a.expected);
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
function compareFields(answer: string, expected: Fields, { fenced, text }: ValueOptions): ComparedFields | null {
  const given = givenObject(answer, fenced);
  if (given === null) return null;
  const names = Object.keys(expected);
  const present = names.filter((name) => Object.hasOwn(given, name));
  const right = present.filter((name) => isSameJson(given[name], expected[name], text));
  const others = Object.keys(given).length - present.length;
  return {
    ...{ expected: names.length, found: present.length, others, right: right.length },
    exact: present.length === names.length && others === 0,
  };
}

function givenObject(answer: string, fenced: boolean): Fields | null {
  return fenced ? asObject(foundJson(answer)?.value) : jsonObject(answer);
}
