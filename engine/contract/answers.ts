/** What a model answers: the playground, evaluation and the sample of the first start. */
import type { MeasureName, Measures } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import type { AdapterWeight } from './adapters.ts';
import type { ChatMessage, ReadingRows, RowsRef } from './data.ts';
import type { Progress } from './machine.ts';
import type { ModelRef } from './models.ts';

export interface GenerateSettings {
  readonly maxTokens: number;
  /** 0 is greedy. */
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
  /** Given back in the `generate.token` events. */
  readonly streamId: string;
}
export interface GenerateResult {
  /** What a person should know: that the tokenizer or the chat template is not the model's own. */
  readonly notes: readonly string[];
  readonly tokens: readonly number[];
  readonly text: string;
  readonly promptTokens: readonly number[];
}
/** What an evaluator says of one answer. */
export interface Verdict {
  /** As the table of evaluators names it. */
  readonly evaluator: string;
  readonly measures: Measures;
  readonly state: 'good' | 'caution' | 'bad';
  /** The finding in a few words: `3 of 4 fields`. */
  readonly text: string;
}
/** How rows are evaluated. */
export interface EvaluationSettings {
  /** Names of the table of evaluators; left out: the loss alone. */
  readonly evaluators?: readonly string[];
  /** Conversations put in front of every question as examples; left out: none. */
  readonly shots?: readonly (readonly ChatMessage[])[];
  /** Tokens of an answer at most; left out: about twice those of the row's own answer. */
  readonly maxTokens?: number;
}
export interface EvaluateRequest extends EvaluationSettings, RowsRef, ReadingRows {
  readonly model: ModelRef;
  /** Path of the adapter; null: the model alone. */
  readonly adapter: string | null;
}
/** A model's answer to a row beside the row's own, and what each evaluator says of it. */
export interface ScoredAnswer {
  readonly question: string;
  readonly expected: string;
  readonly text: string;
  readonly verdicts: readonly Verdict[];
}
export interface EvaluatedRow {
  /** The place of the row in the data, from 0. */
  readonly row: number;
  /** What all evaluators together measured on it. */
  readonly measures: Measures;
  readonly supervisedTokens: number;
  /** The answer to the last turn that is trained; null where no evaluator needs one, or the row has no prompt that can be asked. */
  readonly answer: ScoredAnswer | null;
}
export interface EvaluateResult {
  /** As those of an answer. */
  readonly notes: readonly string[];
  /** Each measure over all rows that have it, and how many they are. */
  readonly measures: { readonly [N in MeasureName]?: { readonly value: number; readonly n: number } };
  readonly supervisedTokens: number;
  readonly rows: readonly EvaluatedRow[];
}
/** How the sample of the first start stands. The counts are rows that `json-fields` finds right. */
export interface SampleState {
  readonly phase: 'preparing' | 'before' | 'training' | 'after' | 'done' | 'failed' | 'stopped';
  readonly projectId: string;
  readonly runId: string | null;
  readonly adapterId: string | null;
  readonly question: string;
  readonly requiredFields: readonly string[];
  readonly answerBefore: string | null;
  readonly answerAfter: string | null;
  /** What `json-fields` says of the two answers. */
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
  /** Makes the sample project and runs it to the end; answers when it has started. */
  'sample.start': () => SampleState;
  'sample.get': () => SampleState | null;
  'sample.stop': () => null;
}
export interface AnswerEvents {
  'generate.token': { readonly streamId: string; readonly token: number; readonly text: string };
  'sample.changed': SampleState;
}
