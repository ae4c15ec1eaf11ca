/** Scores with the evaluator `rouge-l` the longest common subsequence of words (Lin 2004). */
import { answerKind, graded } from './evaluator.ts';
import { wordsOf } from './text.ts';

export const rougeL = answerKind({
  name: 'rouge-l',
  summary: "F1 of the longest sequence of words that the answer and the row's own answer share (ROUGE-L, without stemming)",
  options: {},
  open: () => ({
    score({ expected }, answer) {
      if (expected.trim() === '') return null;
      const value = rougeLOf(expected, answer);
      return graded('rouge-l', value, `ROUGE-L ${value.toFixed(2)}`);
    },
  }),
});

/** Computes ROUGE-L as F1. Words are runs of letters and digits of any script, in lower case. */
export function rougeLOf(expected: string, answer: string): number {
  const [a, b] = [wordsOf(expected), wordsOf(answer)];
  const common = commonLength(a, b);
  return common === 0 ? 0 : (2 * common) / (a.length + b.length);
}

/** Returns the length of the longest common subsequence. */
function commonLength(a: readonly string[], b: readonly string[]): number {
  let before = new Int32Array(b.length + 1);
  for (const word of a) {
    const row = new Int32Array(b.length + 1);
    for (let j = 1; j <= b.length; j++) row[j] = word === b[j - 1] ? before[j - 1]! + 1 : Math.max(before[j]!, row[j - 1]!);
    before = row;
  }
  return before.at(-1)!;
}
