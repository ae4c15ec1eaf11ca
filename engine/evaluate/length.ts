/** Scores with the evaluator `length` whether an answer is as long as it may be. */
import { answerKind, passed, unscored } from './evaluator.ts';
import { countWords } from './text.ts';

export const length = answerKind({
  name: 'length',
  summary: 'the answer has at most so many words or tokens',
  options: {
    most: { kind: 'integer', least: 0, help: 'is the largest length' },
    least: { kind: 'integer', least: 0, otherwise: 0, help: 'is the smallest length' },
    unit: { kind: 'choice', of: ['words', 'tokens', 'characters'], otherwise: 'words', help: 'is what is counted' },
  },
  open: ({ most, least, unit }) => ({
    score(_, answer, tokens) {
      const count = unit === 'words' ? countWords(answer) : unit === 'characters' ? [...answer].length : tokens;
      if (count === undefined) return unscored('the tokens of the answer are not known');
      return passed('length', count >= least && count <= most, `${count} ${count === 1 ? unit.slice(0, -1) : unit}`);
    },
  }),
});
