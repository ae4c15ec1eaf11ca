/** What a model answers: the playground, evaluation and the sample of the first start. */
import type { ProblemValue } from '../problem.ts';
import type { AdapterWeight } from './adapters.ts';
import type { ChatMessage, ReadingRows } from './data.ts';
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
export interface EvaluateResult {
  /** As those of an answer. */
  readonly notes: readonly string[];
  readonly loss: number;
  readonly perplexity: number;
  readonly supervisedTokens: number;
  readonly rows: readonly { readonly loss: number; readonly supervisedTokens: number }[];
}
/** How the first-start sample stands. Counts are measured: rows that parse and have exactly the required fields. */
export interface SampleState {
  readonly phase: 'preparing' | 'before' | 'training' | 'after' | 'done' | 'failed' | 'stopped';
  readonly projectId: string;
  readonly runId: string | null;
  readonly adapterId: string | null;
  readonly question: string;
  readonly requiredFields: readonly string[];
  readonly answerBefore: string | null;
  readonly answerAfter: string | null;
  readonly correctBefore: number | null;
  readonly correctAfter: number | null;
  readonly rows: number;
  readonly progress: Progress | null;
  readonly problem: ProblemValue | null;
}
export interface AnswerRequests {
  'generate.start': (p: GenerateRequest) => GenerateResult;
  'generate.stop': (p: { streamId: string }) => null;
  'evaluate.start': (p: { model: ModelRef; data: readonly string[]; adapter: string | null } & ReadingRows) => EvaluateResult;
  /** Makes the sample project and runs it to the end; answers when it has started. */
  'sample.start': () => SampleState;
  'sample.get': () => SampleState | null;
  'sample.stop': () => null;
}
export interface AnswerEvents {
  'generate.token': { readonly streamId: string; readonly token: number; readonly text: string };
  'sample.changed': SampleState;
}
