/** Defines what an evaluator is. The table of evaluators is in evaluators.ts. */
import type { Verdict } from '../contract.ts';
import type { Measures } from '../measures.ts';

/** Holds the question and the answer of a row, as texts. */
export interface AnsweredRow {
  readonly question: string;
  /** Gives the answer of the row; empty when nothing is expected. */
  readonly expected: string;
}

/** Describes an evaluator that needs the loss of the supervised tokens. */
export interface LossEvaluator {
  readonly name: string;
  readonly needs: 'loss';
  /** Scores a mean loss per supervised token in nats, of one row or of all rows together. */
  score(loss: number): Measures;
}

/** Describes an evaluator that needs the model's answer. Its measures of several rows are the means of those of each row. */
export interface AnswerEvaluator {
  readonly name: string;
  readonly needs: 'answers';
  /** Scores an answer; returns null when the row has nothing to score it by. */
  score(row: AnsweredRow, answer: string): Omit<Verdict, 'evaluator'> | null;
}

export type Evaluator = LossEvaluator | AnswerEvaluator;
