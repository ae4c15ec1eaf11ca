/** `lowrank generate` answers prompts. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AdapterWeight, ChatMessage, GenerateRequest, JsonSchema } from '../contract.ts';
import { readOwnJson } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import { modelOptions, UsageError, type Arguments, type Command } from './command.ts';

export const generate: Command = {
  usage:
    '--model PATH [--accept-field NAME]... [--adapter DIR[=weight]]... (--prompt TEXT | --messages FILE.json | --tokens 1,2,3) [--system TEXT] [--max-tokens N] [--temperature 0] [--top-p 1] [--top-k 0] [--seed 1] [--ignore-stop] [--schema FILE.json]',
  summary: 'answers a prompt; temperature 0 is greedy, and --schema holds the answer to a JSON Schema',
  options: {
    ...modelOptions,
    adapter: { type: 'string', multiple: true },
    prompt: { type: 'string' },
    messages: { type: 'string' },
    tokens: { type: 'string' },
    system: { type: 'string' },
    'max-tokens': { type: 'string' },
    temperature: { type: 'string' },
    'top-p': { type: 'string' },
    'top-k': { type: 'string' },
    seed: { type: 'string' },
    'ignore-stop': { type: 'boolean' },
    schema: { type: 'string' },
  },
  async run({ args, output, connect }) {
    const request: Omit<GenerateRequest, 'prompt'> = {
      model: args.model(),
      adapters: readWeights(args.list('adapter')),
      settings: {
        maxTokens: args.number('max-tokens', 256, { min: 1, integer: true }),
        temperature: args.number('temperature', 0, { min: 0, integer: false }),
        topP: args.number('top-p', 1, { min: 0, integer: false }),
        topK: args.number('top-k', 0, { min: 0, integer: true }),
        seed: args.number('seed', 1, { min: 0, integer: true }),
        ignoreStop: args.flag('ignore-stop'),
      },
      ...readSchema(args.text('schema')),
      streamId: randomUUID(),
    };
    const prompts = readPrompts(args);
    const client = await connect();
    client.on('generate.token', ({ streamId, text }) => {
      if (streamId === request.streamId) output.piece(text);
    });
    const result = await client.request('generate.start', { ...request, prompt: prompts[0]! }).catch((error: unknown) => {
      // A text for a model without a chat template is continued as it is.
      const next = prompts[1];
      if (next === undefined || !(error instanceof Problem && error.code === 'template-missing')) throw error;
      return client.request('generate.start', { ...request, prompt: next });
    });
    output.line();
    for (const note of result.notes) output.message(note);
    output.document(result);
  },
};

/** Returns what to ask, and what to ask when the model has no chat template. */
function readPrompts(args: Arguments): GenerateRequest['prompt'][] {
  const given = ['prompt', 'messages', 'tokens'].filter((name) => args.text(name) !== undefined);
  if (given.length !== 1) throw new UsageError('Give one of --prompt, --messages and --tokens.');
  const system = args.text('system');
  const first: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const text = args.text('prompt');
  if (text !== undefined) {
    const messages = { messages: [...first, { role: 'user', content: text } as const] };
    return system === undefined ? [messages, { text }] : [messages];
  }
  const tokens = args.text('tokens');
  if (tokens !== undefined) {
    const ids = tokens.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
    if (!ids.every((id) => Number.isInteger(id) && id >= 0)) throw new UsageError('--tokens takes ids such as 1,2,3.');
    return [{ tokens: ids }];
  }
  return [{ messages: [...first, ...readMessages(args.required('messages'))] }];
}

/** Reads the schema that the answer is held to. What it says is checked where it is used. */
function readSchema(path: string | undefined): { readonly schema?: JsonSchema } {
  if (path === undefined) return {};
  const hint = 'It must hold a JSON Schema, such as {"type": "object"}.';
  return { schema: readOwnJson(path, hint) as JsonSchema };
}

const roles: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool'] satisfies ChatMessage['role'][];

/** Returns a list of messages, or an object that has one, as a row of a data set does. */
function readMessages(path: string): readonly ChatMessage[] {
  const hint = 'It must hold [{"role": "user", "content": "..."}].';
  const invalid = (what: string) => new Problem('data-invalid', `${path} ${what}.`, hint);
  const value = readOwnJson(path, hint);
  const list = Array.isArray(value) ? (value as unknown[]) : (value as { messages?: unknown } | null)?.messages;
  if (!Array.isArray(list)) throw invalid('does not hold a list of messages');
  return list.map((item: unknown, i) => {
    const { role, content } = (item ?? {}) as { role?: unknown; content?: unknown };
    if (typeof role !== 'string' || !roles.includes(role) || typeof content !== 'string')
      throw invalid(`has no role and content in message ${i + 1}`);
    return { role: role as ChatMessage['role'], content };
  });
}

/** Reads adapters given as `DIR` or `DIR=weight`. A folder may have such a name itself. */
export function readWeights(values: readonly string[]): AdapterWeight[] {
  return values.map((value) => {
    const found = /^(.+)=(-?[0-9.]+(?:e-?\d+)?)$/i.exec(value);
    if (found === null || existsSync(value)) return { path: resolve(value), weight: 1 };
    const weight = Number(found[2]);
    if (!Number.isFinite(weight)) throw new UsageError(`'${found[2]}' is not a weight.`);
    return { path: resolve(found[1]!), weight };
  });
}
