/** Labels of tokens: which of them are trained. */

/** The label of a token that is not trained. */
export const ignored = -100;

/** Counts the labels that are trained. The first never is, since nothing comes before it. */
export function supervisedTokens(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== ignored) count += 1;
  return count;
}
