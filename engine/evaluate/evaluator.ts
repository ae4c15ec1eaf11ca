/** Defines what an evaluator is. The table of evaluators is in evaluators.ts. */
import type { Calibration, Verdict } from '../contract.ts';
import type { Measures } from '../measures.ts';
import type { Choice } from './statistics/calibration.ts';
import { type OptionTable, type OptionValues, readOptions } from './options.ts';

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
  /** Says what a person should know of what the evaluator learned, in sentences. */
  readonly notes?: readonly string[];
  /**
   * Scores an answer; returns null when the row has nothing to score it by. `tokens` is the number of tokens of the answer,
   * where a model wrote it.
   */
  score(row: AnsweredRow, answer: string, tokens?: number): Omit<Verdict, 'evaluator'> | null;
}

/** Describes an evaluator that needs how likely each of some options is as the answer. */
export interface ChoiceEvaluator {
  readonly name: string;
  readonly needs: 'likelihoods';
  /** Lists the options; if it is empty, they are the different answers of the rows. */
  readonly options: readonly string[];
  /** Scores all rows of a contestant at once, because the temperature of its probabilities is fitted on them. */
  scoreAll(rows: readonly Choice[]): {
    readonly rows: readonly { readonly chosen: number; readonly confidence: number; readonly measures: Measures }[];
    readonly calibration: Calibration;
  };
}

export type Evaluator = LossEvaluator | AnswerEvaluator | ChoiceEvaluator;

/** Holds what an evaluator may learn from: the questions of training rows, their answers, and what the base answers to them. */
export type LearningRows = readonly { readonly question: string; readonly trained: string; readonly base: string }[];

/** Describes a kind of evaluator in the table: an evaluator is one with its options. */
export interface EvaluatorKind {
  readonly name: string;
  readonly needs: Evaluator['needs'];
  /** Says in words what is scored. */
  readonly summary: string;
  readonly options: OptionTable;
  /** Says that the evaluator learns from training rows before it scores. */
  readonly learns: boolean;
  /** Makes the evaluator; one that needs large tables loads them now. Throws a `Problem` for options that it does not have. */
  open(options: unknown, learning?: LearningRows): Evaluator | Promise<Evaluator>;
}

/** Describes a kind of evaluator that scores answers. */
interface AnswerKind extends EvaluatorKind {
  open(options: unknown): AnswerEvaluator;
}

/** Makes a kind of evaluator that scores answers. */
export function answerKind<const T extends OptionTable>(kind: {
  readonly name: string;
  readonly summary: string;
  readonly options: T;
  open(options: OptionValues<T>): Omit<AnswerEvaluator, 'name' | 'needs'>;
}): AnswerKind {
  const { name, options } = kind;
  return {
    ...{ name, needs: 'answers', summary: kind.summary, options, learns: false },
    open: (given) => ({ name, needs: 'answers', ...kind.open(readOptions(name, options, given)) }),
  };
}

type Scored = Omit<Verdict, 'evaluator'>;

/** Makes the verdict of a check that an answer passes or does not. */
export function passed(measure: keyof Measures, isGood: boolean, text: string): Scored {
  return { state: isGood ? 'good' : 'bad', text, measures: { [measure]: Number(isGood) } };
}

/** Makes the verdict of a score from 0 to 1. */
export function graded(measure: keyof Measures, value: number, text: string): Scored {
  return { state: value === 1 ? 'good' : value > 0 ? 'caution' : 'bad', text, measures: { [measure]: value } };
}

/** Makes the verdict of an answer that cannot be scored; its row is not counted. */
export function unscored(text: string): Scored {
  return { state: 'caution', text, measures: {} };
}
