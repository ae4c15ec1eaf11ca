/** What a row of a data set says: the format its keys show, and the conversation or text in it. */
import type { ChatMessage, DataFormat } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Tokenizer } from './tokenizer.ts';

/** What a row's keys say about its format, or null. */
export function detectFormat(value: Readonly<Record<string, unknown>>): DataFormat | null {
  if ('input_ids' in value) return 'tokens';
  if ('messages' in value) return 'messages';
  if ('conversations' in value) return 'sharegpt';
  if ('chosen' in value || 'rejected' in value) return null;
  if ('instruction' in value && 'output' in value) return 'alpaca';
  if ('prompt' in value && 'completion' in value) return Array.isArray(value['prompt']) ? 'messages' : 'prompt-completion';
  return 'text' in value ? 'text' : null;
}

/** A conversation with what the row says about it beside its messages. */
export interface Conversation {
  readonly messages: readonly ChatMessage[];
  /** Whether message i is trained; an answer that the row says not to learn is not. Only answers of the assistant are ever trained. */
  readonly trained: readonly boolean[];
  /** Variables of the row for the chat template, as `chat_template_kwargs`. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Text to be encoded: a conversation, a prompt with its completion, or text that is trained as a whole. */
export type Content =
  | ({ readonly kind: 'messages' } & Conversation)
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly text: string };

export function contentOf(
  value: Readonly<Record<string, unknown>>,
  format: Exclude<DataFormat, 'tokens'> | null,
  tokenizer: Tokenizer | null,
): Content {
  switch (format) {
    case 'messages':
      return conversation(messagesOf(value));
    case 'sharegpt':
      refuseFields(value, 'the row', refusedInRow);
      return conversation([...systemOf(value), ...list(value['conversations'], 'conversations').map(shareGptMessage)]);
    case 'alpaca': {
      refuseFields(value, 'the row', refusedInRow);
      const input = value['input'] === undefined || value['input'] === null ? '' : text(value['input'], 'input');
      const instruction = text(value['instruction'], 'instruction');
      const output = text(value['output'], 'output');
      if (tokenizer !== null && tokenizer.chatTemplate === null) {
        const given = input === '' ? '' : `### Input:\n${input}\n\n`;
        const prompt = `### Instruction:\n${instruction}\n\n${given}### Response:\n`;
        return { kind: 'completion', prompt, completion: output };
      }
      const question = input === '' ? instruction : `${instruction}\n\n${input}`;
      return conversation([...systemOf(value), { role: 'user', content: question }, { role: 'assistant', content: output }]);
    }
    case 'prompt-completion':
      return {
        kind: 'completion',
        prompt: text(value['prompt'], 'prompt'),
        completion: text(value['completion'], 'completion'),
      };
    case 'text': {
      const content = text(value['text'], 'text');
      if (content === '') throw new Problem('data-empty', "'text' is empty.", 'Remove the row.');
      return { kind: 'text', text: content };
    }
    case null:
      if ('chosen' in value)
        throw new Problem(
          'format-unsupported',
          'the row is a preference pair, which cannot be trained on yet.',
          'Use the chosen answers as conversations: {"messages": [...]}.',
        );
      throw new Problem(
        'format-unknown',
        `the row has none of the known fields, only ${
          Object.keys(value)
            .slice(0, 8)
            .map((key) => `'${key.slice(0, 40)}'`)
            .join(', ') || 'nothing'
        }.`,
        'Known are messages, conversations, instruction and output, prompt and completion, text, input_ids.',
      );
  }
}

function conversation(messages: readonly ChatMessage[]): Content {
  return { kind: 'messages', messages, trained: messages.map(({ role }) => role === 'assistant'), variables: {} };
}

/** Fields that change what a template writes or what shall be trained, and that are not known here: to pass over them would be wrong. */
const refusedInRow = ['tools', 'functions', 'history'];
const refusedInMessage = ['tool_calls', 'function_call', 'reasoning_content', 'reasoning', 'thinking', 'weight', 'train'];
/** Values with which they say nothing. */
const isMeaningless = (name: string, value: unknown): boolean =>
  value === null ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (name === 'weight' && value === 1) ||
  (name === 'train' && value === true);

function refuseFields(value: Readonly<Record<string, unknown>>, where: string, fields: readonly string[]): void {
  const found = fields.find((name) => name in value && !isMeaningless(name, value[name]));
  if (found !== undefined)
    throw new Problem(
      'format-unsupported',
      `${where} has '${found}', which cannot be trained on yet.`,
      'Write what the model shall see and say into the contents of the messages, or leave the row out.',
    );
}

/** A text beside the messages that comes before them. */
function systemOf({ system }: Readonly<Record<string, unknown>>): ChatMessage[] {
  return system === undefined || system === null || system === '' ? [] : [{ role: 'system', content: text(system, 'system') }];
}

function messagesOf(value: Readonly<Record<string, unknown>>): ChatMessage[] {
  refuseFields(value, 'the row', refusedInRow);
  const messages =
    'messages' in value
      ? list(value['messages'], 'messages')
      : [...list(value['prompt'], 'prompt'), ...list(value['completion'], 'completion')];
  return messages.map((entry, i) => {
    const message = record(entry, i);
    const { role, content } = message;
    refuseFields(message, `message ${i + 1}`, refusedInMessage);
    if (role !== 'system' && role !== 'user' && role !== 'assistant' && role !== 'tool')
      throw invalid(`message ${i + 1} has the role ${shown(role)}.`, 'Roles are system, user, assistant and tool.');
    return { role, content: messageContent(content, i) };
  });
}

const shareGptRoles: Readonly<Record<string, ChatMessage['role']>> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  tool: 'tool',
  function_response: 'tool',
  observation: 'tool',
};

function shareGptMessage(entry: unknown, i: number): ChatMessage {
  const turn = record(entry, i);
  refuseFields(turn, `message ${i + 1}`, refusedInMessage);
  const from = turn['from'] ?? turn['role'];
  const role = typeof from === 'string' && Object.hasOwn(shareGptRoles, from) ? shareGptRoles[from] : undefined;
  if (role === undefined)
    throw invalid(`message ${i + 1} is from ${shown(from)}.`, `Known are ${Object.keys(shareGptRoles).join(', ')}.`);
  return { role, content: messageContent(turn['value'] ?? turn['content'], i) };
}

/** A text, or a list of parts that are all text. */
function messageContent(content: unknown, i: number): string {
  if (Array.isArray(content)) {
    const parts = content.map((part: unknown) => (part as { type?: unknown; text?: unknown } | null) ?? {});
    if (parts.every((part) => part.type === 'text' && typeof part.text === 'string'))
      return wellFormed(parts.map((part) => part.text as string).join(''));
    throw invalid(`message ${i + 1} has parts that are not text.`, 'Only text can be trained on.');
  }
  if (typeof content !== 'string')
    throw invalid(`message ${i + 1} has no text as its content.`, 'Give every message a "content" that is a text.');
  return wellFormed(content);
}

function record(entry: unknown, i: number): Record<string, unknown> {
  if (typeof entry !== 'object' || entry === null)
    throw invalid(`message ${i + 1} is not an object.`, 'A message is {"role", "content"}.');
  return entry as Record<string, unknown>;
}

function list(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid(`'${name}' is not a list of messages.`, 'A conversation is a list of {"role", "content"}.');
  return value;
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`'${name}' is not a text.`, `Put the text into "${name}".`);
  return wellFormed(value);
}

function wellFormed(value: string): string {
  if (!value.isWellFormed())
    throw invalid('a text has half of a surrogate pair, which is no character.', 'Write the file again from its source.');
  return value;
}

export function integers(value: unknown, name: string): Int32Array {
  if (!Array.isArray(value)) throw invalid(`'${name}' is not a list of numbers.`, 'Give token ids as whole numbers.');
  const at = value.findIndex((id) => !Number.isInteger(id) || Math.abs(id as number) > 0x7fffffff);
  if (at >= 0) throw invalid(`'${name}' has ${shown(value[at])} at position ${at}.`, 'Give token ids as whole numbers.');
  return Int32Array.from(value as number[]);
}

/** What stands there, cut short; what has an inside is named by its kind, because it may be nested without end. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value).slice(0, 60);
}

export function invalid(message: string, hint: string): Problem {
  return new Problem('data-invalid', message, hint);
}
