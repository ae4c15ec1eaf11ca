/** Scores with the evaluator `loss` what training makes smaller, and its exponential. */
import type { EvaluatorKind } from './evaluator.ts';
import { readOptions } from './options.ts';

export const loss: EvaluatorKind = {
  ...{ name: 'loss', needs: 'loss', options: {}, learns: false },
  summary: 'mean loss of the trained tokens of the rows, and perplexity',
  open(options) {
    readOptions('loss', {}, options);
    return { name: 'loss', needs: 'loss', score: (value) => ({ loss: value, perplexity: Math.exp(value) }) };
  },
};
