/** Scores with the evaluator `json` whether an answer is JSON. */
import { answerKind, passed } from './evaluator.ts';
import { foundJson, notAnObject } from './json-text.ts';

export const json = answerKind({
  name: 'json',
  summary: 'the answer is JSON, alone or in a fenced block',
  options: {
    fenced: { kind: 'flag', otherwise: true, help: 'counts JSON in a fenced block of Markdown too' },
  },
  open: ({ fenced }) => ({
    score(_, answer) {
      const found = foundJson(answer);
      if (found === null) return passed('json', false, notAnObject(answer));
      if (!found.fenced) return passed('json', true, 'JSON');
      return { state: 'caution', text: 'JSON in a fenced block', measures: { json: Number(fenced) } };
    },
  }),
});
