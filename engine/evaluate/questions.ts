/** Makes the prompt that a model is asked with: that of a row, alone or after other rows as examples. */
import { ignored } from '../labels.ts';
import type { ChatMessage } from '../contract.ts';
import type { Day } from '../data/day.ts';
import type { TokenRow } from '../data/row.ts';
import { thinkingVariables } from '../data/template-inputs.ts';
import { openTemplate } from '../data/template.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { AnsweredRow } from './evaluator.ts';

/** Holds a row as a question, with the tokens that training uses. */
export interface Question extends AnsweredRow {
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

/** Holds a conversation put in front of a question. The answers in it are examples. */
export type Shot = readonly ChatMessage[];

/**
 * Makes a question of a row. Its answer is the last stretch of supervised tokens, and its prompt is everything before that;
 * returns null when the prompt is empty.
 */
export async function questionOf({ inputIds, labels, messages }: TokenRow, tokenizer: Tokenizer): Promise<Question | null> {
  const end = labels.findLastIndex((label) => label !== ignored) + 1;
  const start = labels.subarray(0, end).lastIndexOf(ignored) + 1;
  if (start < 2) return null;
  const prompt = [...inputIds.subarray(0, start)];
  const answer = [...inputIds.subarray(start, end)];
  const asked = messages?.findLast(({ role }) => role === 'user')?.content;
  return {
    ...{ prompt, answer },
    question: asked ?? (await tokenizer.decode(prompt, { skipSpecial: true })),
    expected: await tokenizer.decode(answer, { skipSpecial: true }),
  };
}

/** Describes how a chat template asks for an answer: with the date that it prints, and for a thought or for none, as the rows of a run did. */
export interface Asking {
  readonly day?: Day | undefined;
  readonly thinking?: RowSettings['thinking'];
}

/** Encodes a chat prompt: the messages as the model's template writes them, and the beginning of the answer. */
export async function chatPrompt(
  messages: readonly ChatMessage[],
  tokenizer: Tokenizer,
  { day, thinking = 'row' }: Asking = {},
): Promise<number[]> {
  const template = openTemplate(tokenizer, { day });
  const variables = thinking === 'row' ? {} : thinkingVariables(template, thinking);
  return tokenizer.encode(template.render(messages, { addGenerationPrompt: true, variables }));
}

/**
 * Puts examples in front of a question. They follow its system message, and their own system messages are left out. A row is
 * never its own example. Throws a `Problem` for a row that is not a conversation, or whose prompt is not made of its messages
 * alone.
 */
export async function withShots(
  question: Question,
  { messages, file, line }: Pick<TokenRow, 'messages' | 'file' | 'line'>,
  shots: readonly Shot[],
  tokenizer: Tokenizer,
  asking?: Asking,
): Promise<Question> {
  const asked = messages && (await messagesOf(question, messages, tokenizer, asking));
  if (asked === null)
    throw new Problem(
      'format-unsupported',
      `${file}, line ${line}: examples cannot be put in front of the row.`,
      'Use rows of messages, without variables for the chat template and with a trained answer at their end.',
      { line },
    );
  const isSystem = ({ role }: ChatMessage): boolean => role === 'system';
  const turns = shots.map((shot) => shot.filter((message) => !isSystem(message)));
  const own = JSON.stringify(messages!.filter((message) => !isSystem(message)));
  const examples = turns.filter((shot) => JSON.stringify(shot) !== own);
  const behind = asked.findLastIndex(isSystem) + 1;
  const all = [...asked.slice(0, behind), ...examples.flat(), ...asked.slice(behind)];
  return { ...question, prompt: await chatPrompt(all, tokenizer, asking) };
}

/** Finds the messages that render to exactly the prompt of the question; returns null when none do. */
async function messagesOf(
  { prompt }: Question,
  messages: readonly ChatMessage[],
  tokenizer: Tokenizer,
  asking?: Asking,
): Promise<readonly ChatMessage[] | null> {
  for (let count = messages.length - 1; count > 0; count--) {
    if (messages[count]!.role !== 'assistant') continue;
    const asked = messages.slice(0, count);
    const tokens = await chatPrompt(asked, tokenizer, asking);
    if (tokens.length === prompt.length && tokens.every((token, i) => token === prompt[i])) return asked;
  }
  return null;
}
