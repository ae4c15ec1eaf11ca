/** Makes the prompt that a model is asked with: that of a row, alone or after other rows as examples. */
import { ignored } from '../labels.ts';
import type { ChatMessage, ChatPrompt } from '../contract.ts';
import type { Day } from '../data/day.ts';
import type { TokenRow } from '../data/row.ts';
import { inputsOf, thinkingVariables } from '../data/template-inputs.ts';
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

/** Says why a question cannot be asked of a model with this context, or returns null. */
export function unaskedBecause(question: Question | null, contextLength: number): string | null {
  if (question === null) return 'nothing precedes its trained tokens';
  const { length } = question.prompt;
  return length < contextLength ? null : `its prompt has ${length} tokens and the model reads at most ${contextLength}`;
}

/** Is the problem of a model whose answers are asked for and cannot be read. */
export function noTokenizer(): Problem {
  return new Problem(
    'tokenizer-missing',
    'The model has no tokenizer, so its answers cannot be read.',
    'Evaluate only the loss, or use a model with a tokenizer.json.',
  );
}

/** Describes how a chat template asks for an answer: with the date that it prints, and for a thought or for none, as the rows of a run did. */
export interface Asking {
  readonly day?: Day | undefined;
  readonly thinking?: RowSettings['thinking'];
  /** Lists the tools that the model may call. */
  readonly tools?: ChatPrompt['tools'];
}

/** Encodes a chat prompt: the messages as the model's template writes them, and the beginning of the answer. */
export async function chatPrompt(messages: readonly ChatMessage[], tokenizer: Tokenizer, asking?: Asking): Promise<number[]> {
  return tokenizer.encode(chatText(messages, tokenizer, asking));
}

function chatText(
  messages: readonly ChatMessage[],
  tokenizer: Tokenizer,
  { day, thinking = 'row', tools }: Asking = {},
): string {
  const template = openTemplate(tokenizer, { day });
  const asked = thinking === 'row' ? {} : thinkingVariables(template, thinking);
  const conversation = { messages, trained: messages.map(() => false), variables: asked, ...(tools && { tools }) };
  const { messages: read, variables, write } = inputsOf(template, conversation, { foldSystem: false });
  return template.render(read.map(write), { addGenerationPrompt: true, variables });
}

/** Says what is put in front of a question. */
export interface Context {
  /** Lists examples. They follow the system message of the question, and their own system messages are left out. */
  readonly shots?: readonly Shot[];
  /** Holds an instruction for the system message. It follows the instruction that the question has already. */
  readonly instruction?: string;
}

/**
 * Puts examples and an instruction in front of a question. A row is never its own example. A template that has no place for a
 * system message gets the instruction with the first question. Throws a `Problem` for a row that is not a conversation, or
 * whose prompt is not made of its messages alone.
 */
export async function inContext(
  question: Question,
  row: Pick<TokenRow, 'messages' | 'file' | 'line'>,
  context: Context,
  tokenizer: Tokenizer,
  asking?: Asking,
): Promise<Question> {
  const { shots = [], instruction } = context;
  if (shots.length === 0 && instruction === undefined) return question;
  const asked = withShots(await messagesOf(question, row, tokenizer, asking), row.messages!, shots);
  if (instruction === undefined) return { ...question, prompt: await chatPrompt(asked, tokenizer, asking) };
  const text =
    textWith(instruction, asked, tokenizer, asking) ?? chatText(withFirstUser(asked, instruction), tokenizer, asking);
  return { ...question, prompt: await tokenizer.encode(text) };
}

/** Returns the messages of a question with examples and an instruction, for who writes its own prompt of them. */
export async function messagesInContext(
  question: Question,
  row: Pick<TokenRow, 'messages' | 'file' | 'line'>,
  { shots = [], instruction }: Context,
  tokenizer: Tokenizer,
  asking?: Asking,
): Promise<readonly ChatMessage[]> {
  const asked = withShots(await messagesOf(question, row, tokenizer, asking), row.messages!, shots);
  return instruction === undefined ? asked : withSystem(asked, instruction);
}

function withShots(
  asked: readonly ChatMessage[],
  messages: readonly ChatMessage[],
  shots: readonly Shot[],
): readonly ChatMessage[] {
  const own = JSON.stringify(withoutSystem(messages));
  const examples = shots.map(withoutSystem).filter((shot) => JSON.stringify(shot) !== own);
  const behind = asked.findLastIndex(isSystem) + 1;
  return [...asked.slice(0, behind), ...examples.flat(), ...asked.slice(behind)];
}

/** Writes a prompt with an instruction in its system message. Returns null where the template has no place for one. */
function textWith(instruction: string, asked: readonly ChatMessage[], tokenizer: Tokenizer, asking?: Asking): string | null {
  try {
    const text = chatText(withSystem(asked, instruction), tokenizer, asking);
    return text.includes(instruction.trim()) ? text : null;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

const isSystem = ({ role }: ChatMessage): boolean => role === 'system' || role === 'developer';

function withoutSystem(shot: Shot): Shot {
  return shot.filter((message) => !isSystem(message));
}

function withSystem(messages: readonly ChatMessage[], instruction: string): ChatMessage[] {
  const at = messages.findLastIndex(isSystem);
  if (at < 0) return [{ role: 'system', content: instruction }, ...messages];
  return messages.map((message, i) => (i === at ? joined(message.content, instruction, message) : message));
}

function withFirstUser(messages: readonly ChatMessage[], instruction: string): ChatMessage[] {
  const at = messages.findIndex(({ role }) => role === 'user');
  return messages.map((message, i) => (i === at ? joined(instruction, message.content, message) : message));
}

function joined(first: string, second: string, message: ChatMessage): ChatMessage {
  return { ...message, content: `${first}\n\n${second}` };
}

/**
 * Finds the messages that render to exactly the prompt of the question. Throws a `Problem` when none do, because other messages
 * would ask another question.
 */
async function messagesOf(
  { prompt }: Question,
  { messages, file, line }: Pick<TokenRow, 'messages' | 'file' | 'line'>,
  tokenizer: Tokenizer,
  asking?: Asking,
): Promise<readonly ChatMessage[]> {
  for (let count = (messages?.length ?? 0) - 1; count > 0; count--) {
    if (messages![count]!.role !== 'assistant') continue;
    const asked = messages!.slice(0, count);
    const tokens = await chatPrompt(asked, tokenizer, asking);
    if (tokens.length === prompt.length && tokens.every((token, i) => token === prompt[i])) return asked;
  }
  throw new Problem(
    'format-unsupported',
    `${file}, line ${line}: nothing can be put in front of the row.`,
    'Use rows of messages, without variables for the chat template and with a trained answer at their end.',
    { line },
  );
}
