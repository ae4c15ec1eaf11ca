/** Defines a model's answers in the playground, in an evaluation and in the sample of the first start. */
import type { ByMeasure, Measures } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import type { AdapterWeight } from './adapters.ts';
import type { ChatMessage, ReadingRows, RowsRef } from './data.ts';
import type { Progress } from './machine.ts';
import type { ModelRef } from './models.ts';

export interface GenerateSettings {
  readonly maxTokens: number;
  /** Gives the sampling temperature; 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly seed: number;
  readonly ignoreStop: boolean;
  /** Lists texts before which the answer ends, beside the stop tokens of the model. */
  readonly stop?: readonly string[];
}
/** Holds a conversation to answer, and the tools that the model may call in it. */
export interface ChatPrompt {
  readonly messages: readonly ChatMessage[];
  /** Lists definitions of tools, as the chat template writes them. A template that writes none refuses them. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
}
export interface GenerateRequest {
  readonly model: ModelRef;
  readonly adapters: readonly AdapterWeight[];
  readonly prompt: ChatPrompt | { readonly text: string } | { readonly tokens: readonly number[] };
  readonly settings: GenerateSettings;
  /**
   * Holds the answer to a JSON Schema (draft 2020-12): only tokens are chosen after which a document that it allows can still
   * come about. It is written compactly, with at most one space after a colon and a comma, and with properties in the order of
   * the schema. A schema that an answer cannot be held to is refused by its keyword and place.
   */
  readonly schema?: JsonSchema;
  /** Names the stream of tokens, which the `generate.token` events repeat. */
  readonly streamId: string;
}
/** Is a JSON Schema, as JSON. */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;
export interface GenerateResult {
  /** Tells a person what to know, in sentences: for example, that the tokenizer or the chat template is not the model's own. */
  readonly notes: readonly string[];
  readonly tokens: readonly number[];
  readonly text: string;
  readonly promptTokens: readonly number[];
  /**
   * Marks an answer that was held to a schema: `complete` is a document that the schema allows, `cut` is one that was ended
   * before it was whole.
   */
  readonly constrained?: 'complete' | 'cut';
  /** Says why the answer ended: at a stop token or text, at the limit of tokens or of the context, or because nobody waits for it. */
  readonly ended: 'stop' | 'length' | 'cancelled';
}
/** Holds what an evaluator says of one answer. */
export interface Verdict {
  /** Names the evaluator in the table of evaluators. */
  readonly evaluator: string;
  readonly measures: Measures;
  readonly state: 'good' | 'caution' | 'bad';
  /** Gives the finding in a few words: `3 of 4 fields`. */
  readonly text: string;
}
/** Names an evaluator in the table of evaluators, alone or with its options. */
export type EvaluatorChoice = string | { readonly name: string; readonly options: Readonly<Record<string, unknown>> };
/** Says how rows are evaluated. */
export interface EvaluationSettings {
  /** Lists the evaluators. If it is left out, only the loss is measured. */
  readonly evaluators?: readonly EvaluatorChoice[];
  /** Lists conversations to put before every question as examples. If it is left out, there are none. */
  readonly shots?: readonly (readonly ChatMessage[])[];
  /** Limits the tokens of an answer. If it is left out, the limit is about twice the length of the row's own answer. */
  readonly maxTokens?: number;
}
export interface EvaluateRequest extends EvaluationSettings, RowsRef, ReadingRows {
  readonly model: ModelRef;
  /** Gives the path of the adapter, or null for the model alone. */
  readonly adapter: string | null;
}
/** Holds a model's answer to a row, the row's own answer, and what each evaluator says. */
export interface ScoredAnswer {
  readonly question: string;
  readonly expected: string;
  readonly text: string;
  readonly verdicts: readonly Verdict[];
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Gives the seconds that the answer took. */
  readonly seconds: number;
}
export interface EvaluatedRow {
  /** Gives the index of the row in the data, from 0. */
  readonly row: number;
  /** Holds what all evaluators together measured for this row. */
  readonly measures: Measures;
  readonly supervisedTokens: number;
  /**
   * Holds the answer to the last trained turn. It is null when no evaluator needs an answer, or when the row has no prompt to
   * ask.
   */
  readonly answer: ScoredAnswer | null;
}
export interface EvaluateResult {
  /** Tells a person what to know, in sentences. */
  readonly notes: readonly string[];
  /** Gives the value of each measure over all rows that have it, and the number of these rows. */
  readonly measures: ByMeasure<{ readonly value: number; readonly n: number }>;
  readonly supervisedTokens: number;
  readonly rows: readonly EvaluatedRow[];
}
export type SampleName = 'json-orders' | 'house-voice' | 'brief-answers';
/** Describes a sample in the box: rows to train on and to test with, and what they are for. */
export interface SampleInfo {
  readonly name: SampleName;
  readonly title: string;
  /** Says what the trained model does, in a sentence. */
  readonly summary: string;
  /** Says which answers are right, as the end of a sentence that begins with 'An answer is right when'. */
  readonly right: string;
}
/** Reports the progress of a sample that was started. It counts the answers that the evaluators of the sample find right. */
export interface SampleProjectState {
  readonly sample: SampleInfo;
  readonly phase: 'preparing' | 'before' | 'training' | 'after' | 'done' | 'failed' | 'stopped';
  readonly projectId: string;
  readonly runId: string | null;
  readonly adapterId: string | null;
  readonly question: string;
  readonly answerBefore: string | null;
  readonly answerAfter: string | null;
  /**
   * Holds what the evaluators of the sample say of the answer before training: the first verdict that is not good, or else the
   * first. `verdictAfter` is that on the answer after it.
   */
  readonly verdictBefore: Verdict | null;
  readonly verdictAfter: Verdict | null;
  readonly correctBefore: number | null;
  readonly correctAfter: number | null;
  /** Gives the number of questions that are asked. */
  readonly rows: number;
  readonly progress: Progress | null;
  readonly problem: ProblemValue | null;
}
export interface AnswerRequests {
  'generate.start': (p: GenerateRequest) => GenerateResult;
  'evaluate.start': (p: EvaluateRequest) => EvaluateResult;
  'sample.list': () => readonly SampleInfo[];
  /** Creates the project of a sample and starts the sample, which then runs to its end. The answer comes when it has started. */
  'sample.start': (p: { sample: SampleName }) => SampleProjectState;
  'sample.get': () => SampleProjectState | null;
  'sample.stop': () => null;
}
export interface AnswerEvents {
  'generate.token': { readonly streamId: string; readonly token: number; readonly text: string };
  'sample.changed': SampleProjectState;
}
