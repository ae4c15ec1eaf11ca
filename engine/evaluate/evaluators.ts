/** Lists the evaluators in a table, and scores answers by them. */
import type { Sample, Verdict } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { AnsweredRow, AnswerEvaluator, Evaluator } from './evaluator.ts';
import { exactMatch } from './exact-match.ts';
import { jsonFields, jsonValues } from './json.ts';

export const evaluators: readonly Evaluator[] = [
  { name: 'loss', needs: 'loss', score: (loss) => ({ loss, perplexity: Math.exp(loss) }) },
  jsonFields,
  jsonValues,
  exactMatch,
];

/** Returns the evaluators of these names, in the given order and without repetitions. */
export function evaluatorsNamed(names: readonly string[]): Evaluator[] {
  return [...new Set(names)].map((name) => {
    const known = evaluators.find((evaluator) => evaluator.name === name);
    if (known !== undefined) return known;
    const all = evaluators.map((evaluator) => evaluator.name).join(', ');
    throw new Problem('request-invalid', `There is no evaluator '${name}'.`, `Use one of ${all}.`);
  });
}

/** Scores an answer by one evaluator, and says which it was. */
export function verdictOf(evaluator: AnswerEvaluator, row: AnsweredRow, answer: string): Verdict | null {
  const scored = evaluator.score(row, answer);
  return scored && { evaluator: evaluator.name, ...scored };
}

/**
 * Scores an answer when no evaluator was chosen: by the values if the row's own answer is a JSON object, and by the text
 * otherwise.
 */
export function judge(row: AnsweredRow, answer: string): Verdict | null {
  return verdictOf(jsonValues, row, answer) ?? verdictOf(exactMatch, row, answer);
}

/** Adds the verdict to an answer of an earlier studio, which stored none. */
export function judged(sample: Omit<Sample, 'verdict'> & Partial<Pick<Sample, 'verdict'>>): Sample {
  const { promptText: question, expected, text, verdict } = sample;
  return { ...sample, verdict: verdict ?? judge({ question, expected }, text) };
}
