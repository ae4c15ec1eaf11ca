/** Scores with the evaluator `chrf` the sequences of characters that two texts share (Popović 2015). */
import { answerKind, graded } from './evaluator.ts';

const longest = 6;
const beta = 2;

export const chrf = answerKind({
  name: 'chrf',
  summary: "chrF2: sequences of one to six characters that the answer shares with the row's own answer",
  options: {},
  open: () => ({
    score({ expected }, answer) {
      if (expected.trim() === '') return null;
      const value = chrfOf(expected, answer);
      return graded('chrf', value, `chrF ${value.toFixed(2)}`);
    },
  }),
});

/** Computes chrF2 from 0 to 1 as sacrebleu does: white space does not count, and only lengths that both texts have. */
export function chrfOf(expected: string, answer: string): number {
  const [wanted, given] = [expected, answer].map((text) => [...text.replace(/\s+/g, '')]) as [string[], string[]];
  let [precision, recall, lengths] = [0, 0, 0];
  for (let size = 1; size <= longest; size++) {
    const [own, other] = [countsOf(wanted, size), countsOf(given, size)];
    if (own.size === 0 || other.size === 0) continue;
    let matches = 0;
    for (const [gram, count] of other) matches += Math.min(count, own.get(gram) ?? 0);
    precision += matches / (given.length - size + 1);
    recall += matches / (wanted.length - size + 1);
    lengths++;
  }
  if (precision + recall === 0) return 0;
  [precision, recall] = [precision / lengths, recall / lengths];
  // Rounding may lead past 1.
  return Math.min(1, ((1 + beta ** 2) * precision * recall) / (beta ** 2 * precision + recall));
}

function countsOf(characters: readonly string[], size: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + size <= characters.length; i++) {
    const gram = characters.slice(i, i + size).join('');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}
