/** Defines what holds an answer to a JSON Schema while it is written. */

/** Holds answers to a JSON Schema. Opening one takes time; beginning an answer does not. */
export interface Constraint {
  /** Gives a number of tokens that are enough for a whole document. */
  readonly enough: number;
  begin(): ConstrainedAnswer;
}

/** Knows which tokens may follow in one answer, so that it becomes a document that the schema allows. */
export interface ConstrainedAnswer {
  /** Says whether what was accepted is a whole document. It may still be continued, as `1` by a further digit. */
  readonly isComplete: boolean;
  /** Says whether nothing may follow, so that the answer is at its end. */
  readonly isFinal: boolean;
  /**
   * Returns logits of which only those of allowed tokens are finite. `left` counts the tokens that the answer may still have,
   * this one included: where a document can be closed within them, no token is allowed after which it no longer could.
   */
  allowed(logits: Float32Array, left: number): Float32Array;
  /** Takes the token that was chosen, which must be an allowed one. */
  accept(token: number): void;
}
