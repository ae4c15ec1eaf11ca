/** Answers questions greedily. */
import type { GenerateSettings } from '../contract.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { Constraint } from './constrained/constraint.ts';
import { generate, type LogitSource } from './generate.ts';
import type { Question } from './questions.ts';

export interface Answering {
  readonly contextLength: number;
  readonly tokenizer: Tokenizer;
  readonly maxTokens: number;
  readonly shouldStop: () => boolean;
  /** Holds the answer to a schema. If it is left out, every token may follow. */
  readonly constraint?: Constraint;
}

const longestAnswer = 128;
const greedy: Omit<GenerateSettings, 'maxTokens'> = { temperature: 0, topP: 1, topK: 0, seed: 0, ignoreStop: false };

/**
 * Returns the most tokens of an answer: enough for one that is longer than the row's own, but bounded for one that never ends.
 */
export function answerLimit({ answer }: Question): number {
  return Math.min(longestAnswer, 2 * answer.length + 8);
}

/** Answers a question greedily: the likeliest token each time, up to a stop token or the limit. */
export async function answerGreedily(
  source: LogitSource,
  { prompt }: Question,
  { maxTokens, ...answering }: Answering,
): Promise<{ readonly text: string; readonly tokens: readonly number[] }> {
  const settings = { ...greedy, maxTokens };
  return generate(source, { promptTokens: prompt, settings, ...answering });
}
