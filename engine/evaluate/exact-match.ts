/** Scores with the evaluator `exact-match` whether an answer is the expected text, apart from white space around it. */
import { type AnswerEvaluator, answerKind } from './evaluator.ts';
import { type OptionValues, textOption } from './options.ts';
import { asOption } from './text.ts';

const options = { text: textOption } as const;

function matching({ text }: OptionValues<typeof options>): Pick<AnswerEvaluator, 'score'> {
  return {
    score({ expected }, answer) {
      if (expected.trim() === '') return null;
      return asOption(answer, text).trim() === asOption(expected, text).trim()
        ? { state: 'good', text: 'as expected', measures: { 'exact-match': 1 } }
        : { state: 'caution', text: 'differs', measures: { 'exact-match': 0 } };
    },
  };
}

export const exactMatch = answerKind({
  name: 'exact-match',
  summary: "the answer is the row's own answer",
  options,
  open: matching,
});
