/** Defines the report that compares contestants on the same rows. Other programs read it as JSON. */
import type { ByMeasure, MeasureName } from '../measures.ts';

/** Holds the mean of a measure over the rows that have it, with its interval of 95 %. */
export interface MeasuredMean {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}
/** Says what makes test rows easier than new ones. */
export interface EvaluationGuards {
  /** Counts the test rows that are also training rows, and those that are nearly equal to one. */
  readonly duplicates: number;
  readonly nearDuplicates: number;
  /** Lists such rows by their index in the test rows, from 0; at most 100. */
  readonly rows: readonly number[];
  /** Says in sentences what a person should know before the verdict. It is empty where there is nothing to say. */
  readonly sentences: readonly string[];
}
/** Says whether the probabilities of options can be trusted. */
export interface Calibration {
  /** Gives the temperature that makes the right options likeliest; 1 leaves the probabilities as the model gives them. */
  readonly temperature: number;
  /** Gives the expected calibration error with a temperature that was fitted on other rows, and that without one. */
  readonly error: number;
  readonly errorBefore: number;
}
/** Says what a training has cost. A number is null where the run that trained the adapter is not known. */
export interface TrainingCost {
  readonly seconds: number | null;
  readonly parameters: number | null;
  /** Gives the bytes of the adapter on the disk. */
  readonly bytes: number;
  readonly seed: number | null;
}
export interface ReportedContestant {
  readonly name: string;
  /** Says whether it was trained, as adapters and fully trained models are. */
  readonly trained: boolean;
  readonly measures: ByMeasure<MeasuredMean>;
  /** Gives the mean tokens of a prompt and of an answer, and the mean seconds of an answer; null where no row was answered. */
  readonly promptTokens: number | null;
  readonly answerTokens: number | null;
  readonly secondsPerAnswer: number | null;
  /** Is null where no options were measured. */
  readonly calibration: Calibration | null;
  /** Is null for who was not trained. */
  readonly training: TrainingCost | null;
  /** Gives the number of answers after which the training has paid for itself in time, or null where it does not. */
  readonly breakEvenAnswers: number | null;
}
/** Says which difference so many rows can show, at 5 % with a power of 80 %. */
export interface ReportedPower {
  /** Gives the smallest difference that can be seen. */
  readonly visible: number;
  /** Gives a smaller difference, and the number of independent rows that would show it. */
  readonly smaller: number;
  readonly rows: number;
}
/** Compares two contestants by one measure, on the rows that both have a score of. */
export interface ReportedPair {
  readonly a: string;
  readonly b: string;
  readonly measure: MeasureName;
  readonly n: number;
  /** Counts the rows that both get right, and so on. They are null where rows can be right in part. */
  readonly both: number | null;
  readonly onlyA: number | null;
  readonly onlyB: number | null;
  readonly neither: number | null;
  /** Gives the p-value of McNemar's exact test, or null where rows can be right in part. */
  readonly mcnemar: number | null;
  /** Gives the p-value that counts: McNemar's, or that of sign flips where rows share a source or can be right in part. */
  readonly p: number;
  /** Gives `p` corrected for the number of measures of this pair (Holm). */
  readonly corrected: number;
  /** Gives the mean of `a` less the mean of `b`, with its interval of 95 %. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** Is null where the rows tell nothing of it, as when all differences are the same or there is one row alone. */
  readonly power: ReportedPower | null;
}
/** Holds an answer of one contestant to one row. */
export interface ReportedRow {
  readonly row: number;
  readonly contestant: string;
  /** Holds the answer, or null where the row was only measured by its loss. */
  readonly answer: string | null;
  readonly scores: ByMeasure<number>;
  /** Names what the row comes from: rows of one source are not independent. */
  readonly source: string;
  /** Gives the number of trained tokens of the row, which weigh its loss. */
  readonly supervisedTokens: number;
  readonly promptTokens: number | null;
  readonly answerTokens: number | null;
  /** Gives the seconds that it took. Of rows that were answered together, each has its share by tokens. */
  readonly seconds: number | null;
  /** Gives the calibrated probability of the likeliest option. It is left out where no options were measured. */
  readonly confidence?: number;
}
export type VerdictCode = 'worth-it' | 'not-worth-it' | 'speed-only' | 'cannot-tell';
/** Groups adapters of runs that differ in their seed alone, with the least and the largest value of each measure. */
export interface SeedSpread {
  readonly contestants: readonly string[];
  readonly measures: ByMeasure<{ readonly least: number; readonly most: number }>;
}
/** Compares adapters with the base on one part of the general set: questions, instructions, languages or JSON of other kinds. */
export interface GeneralPart {
  readonly name: string;
  readonly title: string;
  readonly contestants: readonly ReportedContestant[];
  readonly pairs: readonly ReportedPair[];
  readonly rows: readonly ReportedRow[];
}
/** Names what a training broke: a measure of the general set whose paired interval lies on the worse side of zero. */
export interface BrokenMeasure {
  readonly part: string;
  readonly contestant: string;
  readonly measure: MeasureName;
  readonly sentence: string;
}
/** Compares adapters with the base on the general set in the box, whose rows have nothing to do with the training. */
export interface GeneralReport {
  readonly parts: readonly GeneralPart[];
  readonly broke: readonly BrokenMeasure[];
}
export interface EvaluationReport {
  /** Tells a person what to know, in sentences. */
  readonly notes: readonly string[];
  readonly contestants: readonly ReportedContestant[];
  readonly pairs: readonly ReportedPair[];
  readonly rows: readonly ReportedRow[];
  /** Says in sentences what differences so many rows can show. */
  readonly power: readonly string[];
  readonly verdict: { readonly code: VerdictCode; readonly sentence: string };
  /** Is null where no training rows were given to compare with. */
  readonly guards: EvaluationGuards | null;
  /** Counts the earlier evaluations of the same rows, or is null where that is not known. */
  readonly looks: number | null;
  readonly seeds: readonly SeedSpread[];
  /** Is null where the general set was not answered. */
  readonly general: GeneralReport | null;
  /** Holds SHA-256 by what it is of: `answers` is that of `rows`. */
  readonly hashes: Readonly<Record<string, string>>;
}
