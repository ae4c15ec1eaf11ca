/** Defines tokens with their labels, which say which of them are trained. */

export interface LabelledTokens {
  readonly inputIds: Int32Array;
  /** Holds the label of each token: `labels[t]` belongs to `inputIds[t]`. */
  readonly labels: Int32Array;
}

/** Is the label of a token that is not trained. */
export const ignored = -100;

/** Counts the labels that are trained. The first label never is, because no token predicts it. */
export function supervisedTokens(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== ignored) count += 1;
  return count;
}

/** Says how rows that are longer than an example may be are divided. */
export interface Cutting {
  readonly maxLength: number;
  /**
   * Counts the tokens that each further part of a document begins with, at most half of the length, or is null where documents
   * are cut as other rows are.
   */
  readonly documentOverlap: number | null;
}

/** Describes a part of the tokens of a row, of which the first `context` are context and not trained. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly context: number;
}

/** Returns the parts of a row of `length` tokens that are trained: its beginning, or of a document all of it. */
export function spansOf(length: number, isDocument: boolean, { maxLength, documentOverlap }: Cutting): Span[] {
  const spans: Span[] = [{ from: 0, to: Math.min(length, maxLength), context: 0 }];
  if (!isDocument || documentOverlap === null) return spans;
  const context = Math.min(documentOverlap, Math.floor(maxLength / 2));
  for (let to = maxLength; to < length;) {
    const from = to - context;
    to = Math.min(length, from + maxLength);
    // The very first token is never trained, so a part with only one more token has nothing to learn.
    if (to - from > Math.max(1, context)) spans.push({ from, to, context });
  }
  return spans;
}
