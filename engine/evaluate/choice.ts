/**
 * Scores with the evaluator `choice` which of some options a model thinks likeliest, and whether its probabilities can be
 * trusted. No answer is written: each option is measured as an answer.
 */
import { type ChoiceEvaluator, type EvaluatorKind } from './evaluator.ts';
import { readOptions } from './options.ts';
import { brierScore, calibrationError, type Choice, fitTemperature, probabilities } from './statistics/calibration.ts';

const name = 'choice';
const options = {
  of: {
    kind: 'texts',
    otherwise: [],
    help: 'lists the options; if it is left out, they are the different answers of the rows, at most 50',
  },
} as const;

/** Limits the options where they are the answers of the rows. */
export const mostOptions = 50;
const folds = 5;
/** Says of how many rows a temperature is fitted at least; with fewer it is 1. */
const leastRows = 2 * folds;

export const choice: EvaluatorKind = {
  ...{ name, needs: 'likelihoods', options, learns: false },
  summary: 'the likeliest of some options is the right one, with probabilities that are held against how often that is so',
  open(given): ChoiceEvaluator {
    const { of } = readOptions(name, options, given);
    return { name, needs: 'likelihoods', options: of, scoreAll };
  },
};

/**
 * Scores the rows of one contestant. The probabilities of a row are divided by a temperature that was fitted on the rows of the
 * other folds, so that no row has a part in its own.
 */
const scoreAll: ChoiceEvaluator['scoreAll'] = (choices) => {
  const isFitted = choices.length >= leastRows;
  const temperatureOf = (keep: (i: number) => boolean): number =>
    isFitted ? fitTemperature(choices.filter((_, i) => keep(i))) : 1;
  const fitted = Array.from({ length: folds }, (_, fold) => temperatureOf((i) => i % folds !== fold));
  const scaled = choices.map(({ logLikelihoods, right }, i): Choice => ({
    logLikelihoods: logLikelihoods.map((value) => value / fitted[i % folds]!),
    right,
  }));
  return {
    rows: scaled.map((one) => {
      const all = probabilities(one.logLikelihoods);
      const confidence = Math.max(...all);
      const chosen = all.indexOf(confidence);
      return { chosen, confidence, measures: { choice: Number(chosen === one.right), brier: brierScore([one]) } };
    }),
    calibration: {
      temperature: temperatureOf(() => true),
      error: calibrationError(scaled),
      errorBefore: calibrationError(choices),
    },
  };
};
