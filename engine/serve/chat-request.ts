/**
 * Reads the body of `POST /v1/chat/completions`. What changes the answer and is not supported is refused by its name; what a
 * client sends beside it and changes nothing, such as `user`, is accepted.
 */
import { randomInt } from 'node:crypto';
import type { ChatMessage, ChatPrompt, GenerateSettings, JsonSchema, ToolCall } from '../contract.ts';
import { nearestWord } from '../nearest-word.ts';
import { shown } from '../problem.ts';
import { type ApiError, wrongField } from './api-error.ts';

export interface ChatRequest {
  readonly model: string;
  readonly prompt: ChatPrompt;
  readonly settings: GenerateSettings;
  /** Holds the schema that the answer is held to, if there is one. */
  readonly schema?: JsonSchema;
  readonly stream: boolean;
  /** Says whether a stream ends with a piece that has the counts of tokens. */
  readonly includeUsage: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** These fields are read. */
const readFields = [
  'model',
  'messages',
  'stream',
  'stream_options',
  'stop',
  'seed',
  'temperature',
  'top_p',
  'max_tokens',
  'max_completion_tokens',
  'response_format',
  'tools',
  'tool_choice',
];
/** These fields do not change what is answered here: they name a user, or concern storing and billing. */
const idleFields = ['user', 'metadata', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention', 'service_tier'];
/** These fields are accepted with the value that asks for nothing. */
const neutral: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['n', 1],
  ['logprobs', false],
  ['top_logprobs', 0],
  ['frequency_penalty', 0],
  ['presence_penalty', 0],
  ['parallel_tool_calls', true],
  ['store', false],
]);
/** These fields are refused, as all that are not known are; they are named so that a misspelled field is told from them. */
const refusedFields = [
  'functions',
  'function_call',
  'logit_bias',
  'audio',
  'modalities',
  'prediction',
  'reasoning_effort',
  'verbosity',
  'web_search_options',
];
const known = [...readFields, ...idleFields, ...neutral.keys(), ...refusedFields];

/** Reads a request. Throws an `ApiError` that names the field that is wrong or not supported. */
export function readChatRequest(body: Fields): ChatRequest {
  for (const [name, value] of Object.entries(body)) requireSupported(name, value);
  const choice = toolChoice(body['tool_choice']);
  const tools = choice === 'none' ? [] : listOf(body, 'tools').map(toolOf);
  const messages = listOf(body, 'messages').map(messageOf);
  if (messages.length === 0) throw wrongField('messages', `'messages' must be a list of at least one message.`);
  const schema = schemaOf(body['response_format']);
  if (schema !== undefined && tools.length > 0)
    throw unsupported('response_format', `with 'tools' it is only of the type 'text', because a call is no such document`);
  return {
    model: textOf(body['model'], 'model'),
    prompt: { messages, ...(tools.length > 0 && { tools }) },
    ...(schema !== undefined && { schema }),
    settings: {
      maxTokens: maxTokens(body),
      temperature: numberOf(body, 'temperature', { otherwise: 1, most: 2 }),
      topP: numberOf(body, 'top_p', { otherwise: 1, most: 1 }),
      topK: 0,
      seed: numberOf(body, 'seed', { otherwise: randomInt(2 ** 31), most: Number.MAX_SAFE_INTEGER, isWhole: true }),
      ignoreStop: false,
      stop: stopTexts(body['stop']),
    },
    stream: flagOf(body, 'stream'),
    includeUsage: flagOf(fieldsOf(body['stream_options'] ?? {}, 'stream_options'), 'include_usage', 'stream_options.'),
  };
}

function requireSupported(name: string, value: unknown): void {
  if (value === null || readFields.includes(name) || idleFields.includes(name)) return;
  if (neutral.has(name)) {
    if (neutral.get(name) === value) return;
    throw unsupported(name, `only ${JSON.stringify(neutral.get(name))} is`);
  }
  if (refusedFields.includes(name)) throw unsupported(name);
  const near = nearestWord(name, known);
  throw wrongField(
    shown(name, 100),
    `There is no field '${shown(name, 100)}'${near === null ? '.' : `; did you mean '${near}'?`}`,
    'unknown_parameter',
  );
}

function unsupported(param: string, but?: string): ApiError {
  const said = `'${param}' is not supported by this endpoint${but === undefined ? '.' : `; ${but}.`}`;
  return wrongField(param, said, 'unsupported_parameter');
}

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function fieldsOf(value: unknown, at: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongField(at, `'${at}' must be an object.`);
  return value as Fields;
}

function textOf(value: unknown, at: string): string {
  if (typeof value !== 'string') throw wrongField(at, `'${at}' must be a text.`);
  return value;
}

function listOf(body: Fields, name: string): readonly unknown[] {
  const value = body[name] ?? [];
  if (!Array.isArray(value)) throw wrongField(name, `'${name}' must be a list.`);
  return value as unknown[];
}

function flagOf(body: Fields, name: string, before = ''): boolean {
  const value = body[name] ?? false;
  if (typeof value !== 'boolean') throw wrongField(before + name, `'${before}${name}' must be true or false.`);
  return value;
}

interface NumberRange {
  readonly otherwise: number;
  readonly least?: number;
  readonly most: number;
  readonly isWhole?: boolean;
}

function numberOf(body: Fields, name: string, { otherwise, least = 0, most, isWhole = false }: NumberRange): number {
  const value = body[name] ?? otherwise;
  if (typeof value === 'number' && value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  throw wrongField(name, `'${name}' must be a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}.`);
}

/** Returns the limit that is given by its present or its older name. Without one the context of the model is the limit. */
function maxTokens(body: Fields): number {
  const [name, older] = ['max_completion_tokens', 'max_tokens'] as const;
  const range = { otherwise: Number.MAX_SAFE_INTEGER, least: 1, most: Number.MAX_SAFE_INTEGER, isWhole: true };
  const limits = [numberOf(body, name, range), numberOf(body, older, range)];
  return Math.min(...limits);
}

const mostStops = 4;
const longestStop = 1000;

function stopTexts(value: unknown): readonly string[] {
  const stops = (typeof value === 'string' ? [value] : (value ?? [])) as unknown;
  const isFit = (stop: unknown) => typeof stop === 'string' && stop !== '' && stop.length <= longestStop;
  if (Array.isArray(stops) && stops.length <= mostStops && stops.every(isFit)) return stops as string[];
  throw wrongField('stop', `'stop' must be a text or a list of up to ${mostStops}, each of 1 to ${longestStop} characters.`);
}

/** Returns the schema that the answer is held to, or undefined where it is any text. */
function schemaOf(value: unknown): JsonSchema | undefined {
  const format = fieldsOf(value ?? { type: 'text' }, 'response_format');
  switch (format['type']) {
    case 'text':
      return undefined;
    case 'json_object':
      return { type: 'object' };
    case 'json_schema': {
      const at = 'response_format.json_schema';
      const { schema } = fieldsOf(format['json_schema'], at);
      return typeof schema === 'boolean' ? schema : fieldsOf(schema, `${at}.schema`);
    }
    default:
      throw unsupported('response_format.type', `'text', 'json_object' and 'json_schema' are`);
  }
}

function toolChoice(value: unknown): 'auto' | 'none' {
  const choice = value ?? 'auto';
  if (choice === 'auto' || choice === 'none') return choice;
  throw unsupported('tool_choice', `'auto' and 'none' are`);
}

// ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const satisfies readonly ChatMessage['role'][];
const messageFields = ['role', 'content', 'name', 'tool_calls', 'tool_call_id', 'reasoning_content', 'refusal'];

function messageOf(value: unknown, i: number): ChatMessage {
  const at = `messages[${i}]`;
  const message = fieldsOf(value, at);
  const role = roles.find((each) => each === message['role']);
  if (role === undefined) throw wrongField(`${at}.role`, `'${at}.role' must be one of ${roles.join(', ')}.`);
  const unknown = Object.keys(message).find((name) => !messageFields.includes(name) && message[name] !== null);
  if (unknown !== undefined) throw unsupported(`${at}.${shown(unknown, 100)}`);
  if (message['refusal'] != null) throw unsupported(`${at}.refusal`);
  const calls = message['tool_calls'];
  if (calls != null && role !== 'assistant') throw wrongField(`${at}.tool_calls`, `Only an assistant has 'tool_calls'.`);
  const isSilent = calls != null && message['content'] == null;
  return {
    role,
    content: isSilent ? '' : contentOf(message['content'], `${at}.content`),
    ...optionalText(message, 'name', at),
    ...optionalText(message, 'tool_call_id', at),
    ...optionalText(message, 'reasoning_content', at),
    ...(calls != null && {
      tool_calls: listOf(message, 'tool_calls').map((call, k) => callOf(call, `${at}.tool_calls[${k}]`)),
    }),
  };
}

function optionalText<N extends string>(message: Fields, name: N, at: string): { readonly [K in N]?: string } {
  return message[name] == null ? {} : ({ [name]: textOf(message[name], `${at}.${name}`) } as { [K in N]: string });
}

/** Returns a content, which is a text or a list of texts. */
function contentOf(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw wrongField(at, `'${at}' must be a text or a list of parts.`);
  return content
    .map((value: unknown, i) => {
      const part = fieldsOf(value, `${at}[${i}]`);
      if (part['type'] === 'text') return textOf(part['text'], `${at}[${i}].text`);
      throw unsupported(`${at}[${i}]`, `parts of the type 'text' are, and this one is '${shown(String(part['type']), 100)}'`);
    })
    .join('');
}

function callOf(value: unknown, at: string): ToolCall {
  const call = fieldsOf(value, at);
  if (call['type'] !== undefined && call['type'] !== 'function') throw unsupported(`${at}.type`, `'function' is`);
  const { name, arguments: given } = fieldsOf(call['function'], `${at}.function`);
  return {
    type: 'function',
    ...optionalText(call, 'id', at),
    function: { name: textOf(name, `${at}.function.name`), arguments: textOf(given, `${at}.function.arguments`) },
  };
}

function toolOf(value: unknown, i: number): Fields {
  const at = `tools[${i}]`;
  const tool = fieldsOf(value, at);
  if (tool['type'] !== 'function') throw unsupported(`${at}.type`, `'function' is`);
  const definition = fieldsOf(tool['function'], `${at}.function`);
  textOf(definition['name'], `${at}.function.name`);
  if (definition['strict'] === true) throw unsupported(`${at}.function.strict`);
  return tool;
}
