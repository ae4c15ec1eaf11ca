/** Tokens with their labels: which of them are trained. */

export interface LabelledTokens {
  readonly inputIds: Int32Array;
  /** `labels[t]` belongs to `inputIds[t]`. */
  readonly labels: Int32Array;
}

/** The label of a token that is not trained. */
export const ignored = -100;

/** Counts the labels that are trained. The first never is, since nothing comes before it. */
export function supervisedTokens(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== ignored) count += 1;
  return count;
}
