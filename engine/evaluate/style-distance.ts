/** Scores with the evaluator `style-distance` how far the style of an answer is from that of the training answers. */
import { type AnswerEvaluator, type EvaluatorKind, type LearningRows } from './evaluator.ts';
import { readOptions } from './options.ts';
import { Problem } from '../problem.ts';
import { styleOf } from './style.ts';

const name = 'style-distance';
/** Bounds what a single count adds, in standard deviations: one strange mark is not a distance without end. */
const farthest = 5;

export const styleDistance: EvaluatorKind = {
  ...{ name, needs: 'answers', options: {}, learns: true },
  summary: 'distance of lengths and punctuation to the training answers, in their standard deviations',
  open(options, learning = []) {
    readOptions(name, {}, options);
    return { name, needs: 'answers', ...learnedStyle(learning) };
  },
};

function learnedStyle(learning: LearningRows): Pick<AnswerEvaluator, 'score'> {
  if (learning.length < 2)
    throw new Problem(
      'request-invalid',
      `The evaluator '${name}' learns from training answers, and there are ${learning.length}.`,
      'Give the training rows, at least two.',
    );
  const counts = learning.map(({ trained }) => styleOf(trained));
  const spread = Object.keys(counts[0]!).map((feature) => {
    const values = counts.map((one) => one[feature]!);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
    // A count that never varies has no deviation; a twentieth is about one mark in a sentence.
    return { feature, mean, deviation: Math.max(Math.sqrt(variance), 0.05) };
  });
  return {
    score(_, answer) {
      const own = styleOf(answer);
      const far = spread.map(({ feature, mean, deviation }) => ({
        feature,
        distance: Math.min(farthest, Math.abs(own[feature]! - mean) / deviation),
      }));
      const value = far.reduce((sum, { distance }) => sum + distance, 0) / far.length;
      const most = far.reduce((a, b) => (b.distance > a.distance ? b : a));
      return {
        state: value < 1 ? 'good' : value < 2 ? 'caution' : 'bad',
        text: most.distance < 2 ? `${value.toFixed(1)} deviations` : `${value.toFixed(1)} deviations, most in ${most.feature}`,
        measures: { [name]: value },
      };
    },
  };
}
