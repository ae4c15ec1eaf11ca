/** Writes an answer as OpenAI's API does: whole, or piece by piece as server-sent events. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { GenerateResult } from '../contract.ts';
import { callsIn } from '../evaluate/calls-in-text.ts';
import type { ApiError } from './api-error.ts';
import type { ChatRequest } from './chat-request.ts';

/** Holds what an assistant says: a text, calls of tools, or both. */
interface Said {
  readonly content: string | null;
  readonly calls: readonly { readonly id: string; readonly type: 'function'; readonly function: object }[];
}

export class ChatAnswer {
  readonly #response: ServerResponse;
  readonly #request: ChatRequest;
  readonly #common: object;
  #isBegun = false;

  constructor(response: ServerResponse, request: ChatRequest) {
    this.#response = response;
    this.#request = request;
    const { stream, model } = request;
    this.#common = {
      id: `chatcmpl-${randomUUID()}`,
      object: stream ? 'chat.completion.chunk' : 'chat.completion',
      created: Math.floor(Date.now() / 1000),
      model,
    };
  }

  /** Sends a piece of the text, where pieces are asked for. An answer with tools is sent at its end, when its calls are known. */
  piece(text: string): void {
    if (!this.#request.stream || this.#request.prompt.tools !== undefined || text === '') return;
    this.#send({ content: text }, null);
  }

  /** Sends what is not sent yet, and ends the answer. */
  end(result: GenerateResult): void {
    const said = saidOf(result.text, this.#request.prompt.tools);
    const finish = said.calls.length > 0 ? 'tool_calls' : result.ended === 'stop' ? 'stop' : 'length';
    const usage = usageOf(result);
    if (!this.#request.stream) {
      const message = { role: 'assistant', content: said.content, refusal: null, ...callsOf(said) };
      const body = { ...this.#common, choices: [{ index: 0, message, logprobs: null, finish_reason: finish }], usage };
      this.#response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
      return;
    }
    if (this.#request.prompt.tools !== undefined) {
      const calls = said.calls.map((call, index) => ({ index, ...call }));
      this.#send({ content: said.content, ...(calls.length > 0 && { tool_calls: calls }) }, null);
    }
    this.#send({}, finish);
    if (this.#request.includeUsage) this.#event({ ...this.#common, choices: [], usage });
    this.#response.end('data: [DONE]\n\n');
  }

  /** Ends an answer of which a part is sent already; returns false where nothing is, so that a status can be. */
  fail(error: ApiError): boolean {
    if (!this.#isBegun) return false;
    this.#event(error.toBody());
    this.#response.end();
    return true;
  }

  #send(delta: object, finish: string | null): void {
    if (!this.#isBegun) {
      this.#isBegun = true;
      this.#response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      this.#send({ role: 'assistant', content: '' }, null);
    }
    const usage = this.#request.includeUsage ? { usage: null } : {};
    this.#event({ ...this.#common, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...usage });
  }

  #event(value: object): void {
    this.#response.write(`data: ${JSON.stringify(value)}\n\n`);
  }
}

function usageOf({ promptTokens, tokens }: GenerateResult): object {
  return {
    prompt_tokens: promptTokens.length,
    completion_tokens: tokens.length,
    total_tokens: promptTokens.length + tokens.length,
  };
}

/** Finds the calls in a text. What calls a tool that was not offered, or is not quite a call, is a text. */
function saidOf(text: string, tools: ChatRequest['prompt']['tools']): Said {
  const offered = new Set(tools?.map((tool) => (tool['function'] as { readonly name: string }).name));
  const found = offered.size === 0 ? [] : callsIn(text);
  if (found.length === 0 || !found.every(({ name }) => offered.has(name))) return { content: text, calls: [] };
  const before = /^([\s\S]*?)<tool_call>/.exec(text)?.[1]?.trim() ?? '';
  const calls = found.map(({ name, args }) => ({
    id: `call_${randomUUID()}`,
    type: 'function' as const,
    function: { name, arguments: JSON.stringify(args) },
  }));
  return { content: before === '' ? null : before, calls };
}

const callsOf = ({ calls }: Said): object => (calls.length === 0 ? {} : { tool_calls: calls });
