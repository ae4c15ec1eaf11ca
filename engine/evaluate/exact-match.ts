/** Scores with the evaluator `exact-match` whether an answer is the expected text, apart from white space around it. */
import type { AnswerEvaluator } from './evaluator.ts';

export const exactMatch: AnswerEvaluator = {
  name: 'exact-match',
  needs: 'answers',
  score({ expected }, answer) {
    if (expected.trim() === '') return null;
    return answer.trim() === expected.trim()
      ? { state: 'good', text: 'as expected', measures: { 'exact-match': 1 } }
      : { state: 'caution', text: 'differs', measures: { 'exact-match': 0 } };
  },
};
