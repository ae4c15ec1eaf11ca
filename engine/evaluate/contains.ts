/** Scores with the evaluators `contains` and `not-contains` which texts an answer holds. */
import { answerKind, graded, passed } from './evaluator.ts';
import { textOption } from './options.ts';
import { asOption } from './text.ts';

export const contains = answerKind({
  name: 'contains',
  summary: "share of the given texts, or of the row's own answer, that the answer holds",
  options: {
    texts: { kind: 'texts', otherwise: [], help: "lists the texts to look for; without any it is the row's own answer" },
    any: { kind: 'flag', otherwise: false, help: 'is content with one of the texts' },
    text: textOption,
  },
  open: ({ texts, any, text }) => ({
    score({ expected }, answer) {
      const wanted = (texts.length === 0 ? [expected.trim()] : texts)
        .map((one) => asOption(one, text))
        .filter((one) => one !== '');
      if (wanted.length === 0) return null;
      const given = asOption(answer, text);
      const found = wanted.filter((one) => given.includes(one)).length;
      const share = any ? Number(found > 0) : found / wanted.length;
      return graded('contains', share, found === 1 && wanted.length === 1 ? 'found' : `${found} of ${wanted.length} found`);
    },
  }),
});

export const notContains = answerKind({
  name: 'not-contains',
  summary: 'the answer holds none of the given texts',
  options: {
    texts: { kind: 'texts', help: 'lists the texts that must not be there' },
    text: textOption,
  },
  open: ({ texts, text }) => ({
    score(_, answer) {
      const given = asOption(answer, text);
      // A text of punctuation alone is empty when it is normalized.
      const found = texts.filter((one) => asOption(one, text) !== '' && given.includes(asOption(one, text)));
      return passed('not-contains', found.length === 0, found.length === 0 ? 'none found' : `contains '${found[0]!}'`);
    },
  }),
});
