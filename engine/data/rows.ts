/** Rows of a data set as token ids and labels: what every format means, and what is wrong with a row that cannot be used. */
import { createHash } from 'node:crypto';
import type { ChatMessage, DataFormat } from '../contract.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { labelsOf, renderConversation } from './mask.ts';
import { readRecords, type RecordOrProblem } from './records.ts';
import { type ChatTemplate, openTemplate } from './template.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface TokenRow {
  readonly index: number;
  readonly file: string;
  /** 1-based; for a JSON list the line on which the row begins. */
  readonly line: number;
  readonly inputIds: Int32Array;
  /** -100 is ignored; `labels[t]` belongs to `inputIds[t]`. */
  readonly labels: Int32Array;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}
export type RowOrProblem =
  TokenRow | { readonly problem: ProblemValue; readonly index: number; readonly line: number; readonly file: string };

export interface DataRows {
  readonly rows: RowOrProblem[];
  readonly format: DataFormat;
  /** SHA-256 of the file; of the files' hashes in hexadecimal when there are several. */
  readonly hash: string;
}

const ignored = -100;
/** Rows encoded at the same time; the tokenizer takes some hundred bytes of memory for each of text. */
const maxBatchRows = 32;
const maxBatchBytes = 1 << 20;

/**
 * Reads all rows. Rows that need a tokenizer or a template that is not there become problems, one per row. `keepText: false` leaves out
 * text and messages, which take as much memory again as the tokens and which training never looks at.
 */
export async function readRows(
  paths: readonly string[],
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  { keepText = true }: { readonly keepText?: boolean } = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const hashes: string[] = [];
  let format: DataFormat | null = null;
  const encoder = new RowEncoder(tokenizer, vocabularySize, keepText);
  for (const file of paths) {
    const hash = createHash('sha256');
    let batch: RecordOrProblem[] = [];
    let batchBytes = 0;
    const flush = async () => {
      const first = rows.length;
      rows.push(...(await Promise.all(batch.map((record, i) => encoder.encode(record, file, first + i)))));
      batch = [];
      batchBytes = 0;
    };
    for await (const record of readRecords(file, hash)) {
      if ('value' in record) format ??= detectFormat(record.value);
      batch.push(record);
      batchBytes += record.bytes;
      if (batch.length === maxBatchRows || batchBytes > maxBatchBytes) await flush();
    }
    await flush();
    hashes.push(hash.digest('hex'));
  }
  if (rows.length === 0)
    throw new Problem('data-empty', `There is no row in ${paths.join(', ')}.`, 'Give a file with one JSON object a line.');
  const hash = hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex');
  return { rows, format: format ?? 'messages', hash };
}

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

/** Text to be encoded: a conversation, a prompt with its completion, or text that is trained as a whole. */
type Content =
  | { readonly kind: 'messages'; readonly messages: readonly ChatMessage[] }
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly text: string };

class RowEncoder {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #keepText: boolean;
  /** Or why there is none: told for every row, found out once. */
  #template: ChatTemplate | Problem | undefined;

  constructor(tokenizer: Tokenizer | null, vocabularySize: number, keepText: boolean) {
    this.#tokenizer = tokenizer;
    this.#vocabularySize = vocabularySize;
    this.#keepText = keepText;
  }

  async encode(record: RecordOrProblem, file: string, index: number): Promise<RowOrProblem> {
    const { line } = record;
    if ('problem' in record) return { problem: record.problem, index, line, file };
    try {
      const format = detectFormat(record.value);
      const row =
        format === 'tokens'
          ? await this.#tokens(record.value)
          : await this.#content(contentOf(record.value, format, this.#tokenizer));
      this.#check(row);
      return { index, file, line, ...row, ...(this.#keepText ? {} : { messages: null, text: '' }) };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { code, message, hint } = error;
      return { problem: { code, message: `${file}, line ${line}: ${message}`, hint, line }, index, line, file };
    }
  }

  async #tokens(value: Readonly<Record<string, unknown>>): Promise<Encoded> {
    const inputIds = integers(value['input_ids'], 'input_ids');
    const labels = value['labels'] === undefined ? inputIds.slice() : integers(value['labels'], 'labels');
    if (labels.length !== inputIds.length)
      throw invalid(`'labels' has ${labels.length} entries, 'input_ids' ${inputIds.length}.`, 'Give one label per token id.');
    this.#checkRange(inputIds, 'input_ids', false);
    this.#checkRange(labels, 'labels', true);
    const text = this.#keepText ? await this.#tokenizer?.decode([...inputIds]) : undefined;
    return { inputIds, labels, messages: null, text: text ?? '' };
  }

  async #content(content: Content): Promise<Encoded> {
    const tokenizer = this.#tokenizer;
    if (tokenizer === null)
      throw new Problem(
        'tokenizer-missing',
        'The row is text, and the model has no tokenizer.',
        'Use rows with "input_ids", or a model with its tokenizer.json; transformers makes one of a tokenizer.model.',
      );
    const bos = tokenizer.addBos && tokenizer.bos !== null ? [tokenizer.bos] : [];
    switch (content.kind) {
      case 'messages': {
        const rendered = renderConversation(this.#openTemplate(tokenizer), content.messages);
        const encoded = await tokenizer.encodeWithOffsets(rendered.text);
        const labels = labelsOf(rendered, encoded, tokenizer);
        return { inputIds: Int32Array.from(encoded.ids), labels, messages: content.messages, text: rendered.text };
      }
      case 'completion': {
        // Apart, so that the prompt has the ids it will have when it is asked.
        const prompt = await tokenizer.encode(content.prompt);
        const before = prompt[0] === bos[0] ? prompt : [...bos, ...prompt];
        const after = await tokenizer.encode(content.completion);
        if (tokenizer.eos !== null && !tokenizer.stopTokens.includes(after.at(-1) ?? -1)) after.push(tokenizer.eos);
        return {
          inputIds: Int32Array.from([...before, ...after]),
          labels: Int32Array.from([...before.map(() => ignored), ...after]),
          messages: null,
          text: content.prompt + content.completion,
        };
      }
      case 'text': {
        const ids = await tokenizer.encode(content.text);
        const inputIds = Int32Array.from(ids[0] === bos[0] ? ids : [...bos, ...ids]);
        return { inputIds, labels: inputIds.slice(), messages: null, text: content.text };
      }
    }
  }

  #openTemplate(tokenizer: Tokenizer): ChatTemplate {
    if (this.#template === undefined) {
      try {
        this.#template = openTemplate(tokenizer);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.#template = error;
      }
    }
    if (this.#template instanceof Problem) throw this.#template;
    return this.#template;
  }

  #checkRange(ids: Int32Array, name: string, labels: boolean): void {
    const at = ids.findIndex((id) => (id < 0 && !(labels && id === ignored)) || id >= this.#vocabularySize);
    if (at >= 0)
      throw new Problem(
        'token-out-of-range',
        `'${name}' has ${ids[at]} at position ${at}; the model has the ids 0 to ${this.#vocabularySize - 1}.`,
        'The row was made with the tokenizer of another model.',
      );
  }

  #check({ inputIds, labels }: Encoded): void {
    if (inputIds.length === 0) throw new Problem('data-empty', 'the row has no tokens.', 'Remove the row.');
    if (!(labels.findIndex((label, t) => t > 0 && label !== ignored) > 0))
      throw new Problem(
        'nothing-to-train',
        'no token of the row is trained.',
        'A conversation needs an assistant turn; a label must stand after the first token.',
      );
    this.#checkRange(inputIds, 'input_ids', false);
  }
}

interface Encoded {
  readonly inputIds: Int32Array;
  readonly labels: Int32Array;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}

function contentOf(
  value: Readonly<Record<string, unknown>>,
  format: Exclude<DataFormat, 'tokens'> | null,
  tokenizer: Tokenizer | null,
): Content {
  switch (format) {
    case 'messages':
      return { kind: 'messages', messages: messagesOf(value) };
    case 'sharegpt':
      refuseFields(value, 'the row', refusedInRow);
      return {
        kind: 'messages',
        messages: [...systemOf(value), ...list(value['conversations'], 'conversations').map(shareGptMessage)],
      };
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
      return {
        kind: 'messages',
        messages: [...systemOf(value), { role: 'user', content: question }, { role: 'assistant', content: output }],
      };
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

function integers(value: unknown, name: string): Int32Array {
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

function invalid(message: string, hint: string): Problem {
  return new Problem('data-invalid', message, hint);
}
