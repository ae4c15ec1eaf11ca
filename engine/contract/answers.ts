/** Defines what a model answers in the playground, in an evaluation and in the sample of the first start. */
import type { MeasureName, Measures } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import type { AdapterWeight } from './adapters.ts';
import type { ChatMessage, ReadingRows, RowsRef } from './data.ts';
import type { Progress } from './machine.ts';
import type { ModelRef } from './models.ts';

export interface GenerateSettings {
  readonly maxTokens: number;
  /** The sampling temperature; 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly seed: number;
  readonly ignoreStop: boolean;
}
export interface GenerateRequest {
  readonly model: ModelRef;
  readonly adapters: readonly AdapterWeight[];
  readonly prompt:
    { readonly messages: readonly ChatMessage[] } | { readonly text: string } | { readonly tokens: readonly number[] };
  readonly settings: GenerateSettings;
  /** The name of the stream of tokens, which the `generate.token` events repeat. */
  readonly streamId: string;
}
export interface GenerateResult {
  /** What a person should know, in sentences: for one, that the tokenizer or the chat template is not the model's own. */
  readonly notes: readonly string[];
  readonly tokens: readonly number[];
  readonly text: string;
  readonly promptTokens: readonly number[];
}
/** Holds what an evaluator says of one answer. */
export interface Verdict {
  /** The name of the evaluator in the table of evaluators. */
  readonly evaluator: string;
  readonly measures: Measures;
  readonly state: 'good' | 'caution' | 'bad';
  /** The finding in a few words: `3 of 4 fields`. */
  readonly text: string;
}
/** Says how rows are evaluated. */
export interface EvaluationSettings {
  /** Names of evaluators in their table; left out: the loss alone. */
  readonly evaluators?: readonly string[];
  /** Conversations put in front of every question as examples; left out: none. */
  readonly shots?: readonly (readonly ChatMessage[])[];
  /** The most tokens of an answer; left out: about twice as many as the row's own answer has. */
  readonly maxTokens?: number;
}
export interface EvaluateRequest extends EvaluationSettings, RowsRef, ReadingRows {
  readonly model: ModelRef;
  /** The path of the adapter; null for the model alone. */
  readonly adapter: string | null;
}
/** Holds a model's answer to a row, the row's own answer, and what each evaluator says. */
export interface ScoredAnswer {
  readonly question: string;
  readonly expected: string;
  readonly text: string;
  readonly verdicts: readonly Verdict[];
}
export interface EvaluatedRow {
  /** The index of the row in the data, from 0. */
  readonly row: number;
  /** What all evaluators together measured for this row. */
  readonly measures: Measures;
  readonly supervisedTokens: number;
  /**
   * The answer to the last trained turn; null when no evaluator needs an answer, or the row has no prompt that can be asked.
   */
  readonly answer: ScoredAnswer | null;
}
export interface EvaluateResult {
  /** What a person should know, in sentences. */
  readonly notes: readonly string[];
  /** The value of each measure over all rows that have it, and the number of these rows. */
  readonly measures: { readonly [N in MeasureName]?: { readonly value: number; readonly n: number } };
  readonly supervisedTokens: number;
  readonly rows: readonly EvaluatedRow[];
}
/** Says how far the sample of the first start is. The counts are of rows that `json-fields` finds right. */
export interface SampleState {
  readonly phase: 'preparing' | 'before' | 'training' | 'after' | 'done' | 'failed' | 'stopped';
  readonly projectId: string;
  readonly runId: string | null;
  readonly adapterId: string | null;
  readonly question: string;
  readonly requiredFields: readonly string[];
  readonly answerBefore: string | null;
  readonly answerAfter: string | null;
  /** What `json-fields` says of the answer before training and of the answer after it. */
  readonly verdictBefore: Verdict | null;
  readonly verdictAfter: Verdict | null;
  readonly correctBefore: number | null;
  readonly correctAfter: number | null;
  readonly rows: number;
  readonly progress: Progress | null;
  readonly problem: ProblemValue | null;
}
export interface AnswerRequests {
  'generate.start': (p: GenerateRequest) => GenerateResult;
  'evaluate.start': (p: EvaluateRequest) => EvaluateResult;
  /** Makes the sample project and begins the sample, which then goes on to its end. The answer comes when it has begun. */
  'sample.start': () => SampleState;
  'sample.get': () => SampleState | null;
  'sample.stop': () => null;
}
export interface AnswerEvents {
  'generate.token': { readonly streamId: string; readonly token: number; readonly text: string };
  'sample.changed': SampleState;
}
