/** Judges answers that nobody chose an evaluator for. */
import type { Sample, Verdict } from '../contract.ts';
import type { AnsweredRow, AnswerEvaluator } from './evaluator.ts';
import { exactMatch } from './exact-match.ts';
import { jsonValues } from './json-fields.ts';

const [byValues, byText] = [jsonValues.open({}), exactMatch.open({})];

/** Scores an answer by one evaluator, and says which it was. */
export function verdictOf(evaluator: AnswerEvaluator, row: AnsweredRow, answer: string, tokens?: number): Verdict | null {
  const scored = evaluator.score(row, answer, tokens);
  return scored && { evaluator: evaluator.name, ...scored };
}

/**
 * Scores an answer when no evaluator was chosen: by the values if the row's own answer is a JSON object, and by the text
 * otherwise.
 */
export function judge(row: AnsweredRow, answer: string): Verdict | null {
  return verdictOf(byValues, row, answer) ?? verdictOf(byText, row, answer);
}

/** Adds the verdict to an answer of an earlier studio, which stored none. */
export function judged(sample: Omit<Sample, 'verdict'> & Partial<Pick<Sample, 'verdict'>>): Sample {
  const { promptText: question, expected, text, verdict } = sample;
  return { ...sample, verdict: verdict ?? judge({ question, expected }, text) };
}
