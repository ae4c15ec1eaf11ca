/** What an evaluator is. Their table is evaluators.ts. */
import type { Verdict } from '../contract.ts';
import type { Measures } from '../measures.ts';

/** The question and answer of a row, as texts. */
export interface AnsweredRow {
  readonly question: string;
  /** The answer of the row; empty where nothing is expected. */
  readonly expected: string;
}

/** An evaluator that needs the loss of the supervised tokens. */
export interface LossEvaluator {
  readonly name: string;
  readonly needs: 'loss';
  /** Scores the mean loss per supervised token, of one row or of all of them together. */
  score(loss: number): Measures;
}

/** An evaluator that needs the model's answer. Its measures of several rows are the means of theirs. */
export interface AnswerEvaluator {
  readonly name: string;
  readonly needs: 'answers';
  /** Scores an answer; null where the row gives nothing to score it by. */
  score(row: AnsweredRow, answer: string): Omit<Verdict, 'evaluator'> | null;
}

export type Evaluator = LossEvaluator | AnswerEvaluator;
