/** Measures whether the probabilities of options can be trusted, and fits the temperature that makes them so. */

/** Holds the log-likelihood of each option of a row, and the index of the right one. */
export interface Choice {
  readonly logLikelihoods: readonly number[];
  readonly right: number;
}

/** Returns the probabilities of options from their log-likelihoods, divided by a temperature. */
export function probabilities(logLikelihoods: readonly number[], temperature = 1): number[] {
  const largest = Math.max(...logLikelihoods);
  const weights = logLikelihoods.map((value) => Math.exp((value - largest) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Returns the Brier score (1950): the mean over rows of the squared errors of all options, from 0 to 2. */
export function brierScore(choices: readonly Choice[], temperature = 1): number {
  const errors = choices.map(({ logLikelihoods, right }) =>
    probabilities(logLikelihoods, temperature).reduce((sum, p, option) => sum + (p - Number(option === right)) ** 2, 0),
  );
  return errors.reduce((sum, error) => sum + error, 0) / choices.length;
}

/**
 * Returns the expected calibration error (Naeini, Cooper and Hauskrecht 2015): how far accuracy and the probability of the
 * likeliest option lie apart, in bins of equal width, weighted by their rows.
 */
export function calibrationError(choices: readonly Choice[], temperature = 1, bins = 15): number {
  const judged = choices.map(({ logLikelihoods, right }) => {
    const all = probabilities(logLikelihoods, temperature);
    const sure = Math.max(...all);
    return { sure, hit: Number(all.indexOf(sure) === right) };
  });
  // A bin holds its upper end and not its lower one.
  const inBins = Map.groupBy(judged, ({ sure }) => Math.min(bins, Math.max(1, Math.ceil(sure * bins))));
  const apart = [...inBins.values()].map((own) => Math.abs(own.reduce((sum, { sure, hit }) => sum + sure - hit, 0)));
  return apart.reduce((sum, one) => sum + one, 0) / choices.length;
}

/**
 * Fits the temperature that makes the right options likeliest (Guo, Pleiss, Sun and Weinberger 2017). It is searched from 0.01
 * to 100 and lies at an end where no temperature is best, as when every row is right.
 */
export function fitTemperature(choices: readonly Choice[]): number {
  // The loss is convex in 1/temperature, so its slope has one root at most.
  const slope = (inverse: number): number =>
    choices.reduce((sum, { logLikelihoods, right }) => {
      const expected = probabilities(logLikelihoods, 1 / inverse).reduce((mean, p, i) => mean + p * logLikelihoods[i]!, 0);
      return sum + expected - logLikelihoods[right]!;
    }, 0);
  let [low, high] = [Math.log(0.01), Math.log(100)];
  if (slope(Math.exp(low)) >= 0) return 100;
  if (slope(Math.exp(high)) <= 0) return 0.01;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (slope(Math.exp(middle)) < 0) low = middle;
    else high = middle;
  }
  return Math.exp(-(low + high) / 2);
}
