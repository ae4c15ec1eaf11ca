/** Lists the routes of the endpoint. A path is compared as a whole, so nothing of it ever names a file. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GenerateResult } from '../contract.ts';
import { Problem } from '../problem.ts';
import { ApiError, ofProblem, wrongField } from './api-error.ts';
import { readJson } from './body.ts';
import { ChatAnswer } from './chat-answer.ts';
import { type ChatRequest, readChatRequest } from './chat-request.ts';
import type { Limits } from './limits.ts';
import type { Turns } from './turns.ts';

/** Holds what the model is asked. */
export type Asked = Pick<ChatRequest, 'prompt' | 'settings' | 'schema'>;

/** Holds what is served: a model with its adapters under one name. */
export interface Served {
  /** Gives the name that clients ask for as `model`. */
  readonly name: string;
  /** Gives the time in seconds at which it was first served. */
  readonly created: number;
  generate(asked: Asked, signal: AbortSignal, onText: (text: string) => void): Promise<GenerateResult>;
}

/** Holds one request with all that a route needs. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly served: Served;
  readonly turns: Turns;
  readonly limits: Limits;
  /** Fires when the client has gone away or the endpoint ends. */
  readonly gone: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  answer(exchange: Exchange): Promise<void> | void;
}

export const routes: readonly Route[] = [
  { method: 'GET', path: '/v1/models', answer: listModels },
  { method: 'POST', path: '/v1/chat/completions', answer: completeChat },
];

/** Returns the route of a request. Throws an `ApiError` where there is none. */
export function routeOf({ method, url }: Pick<IncomingMessage, 'method' | 'url'>): Route {
  const atPath = routes.filter(({ path }) => path === url);
  const route = atPath.find((each) => each.method === method);
  if (route !== undefined) return route;
  const listed = routes.map((each) => `${each.method} ${each.path}`).join(' and ');
  if (atPath.length === 0) throw new ApiError(404, 'not_found', `There are only ${listed}.`);
  throw new ApiError(405, 'method_not_allowed', `There are only ${listed}.`, {
    headers: { Allow: atPath.map((each) => each.method).join(', ') },
  });
}

function listModels({ response, served: { name, created } }: Exchange): void {
  const data = [{ id: name, object: 'model', created, owned_by: 'lowrank-studio' }];
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ object: 'list', data }));
}

async function completeChat({ request, response, served, turns, limits, gone }: Exchange): Promise<void> {
  const asked = readChatRequest(await readJson(request, limits));
  if (asked.model !== served.name)
    throw new ApiError(404, 'model_not_found', `The model served here is '${served.name}'.`, { param: 'model' });
  const answer = new ChatAnswer(response, asked);
  try {
    await turns.take(gone, async () => {
      const { signal, end } = within(limits.answerMs, gone);
      const generated = served.generate(asked, signal, (text) => answer.piece(text));
      try {
        answer.end(await generated);
      } finally {
        end();
      }
    });
  } catch (error) {
    const refused = refusalOf(error, asked, limits);
    if (refused === null || !answer.fail(refused)) throw refused ?? error;
  }
}

/** Returns a signal that fires with `gone`, and when the time is over. */
function within(milliseconds: number, gone: AbortSignal): { readonly signal: AbortSignal; readonly end: () => void } {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), milliseconds);
  return { signal: AbortSignal.any([gone, late.signal]), end: () => clearTimeout(timer) };
}

/** Says why an answer failed, or returns null for a fault of ours. */
function refusalOf(error: unknown, { prompt, schema }: ChatRequest, { answerMs }: Limits): ApiError | null {
  if (error instanceof ApiError) return error;
  if (!(error instanceof Problem)) return null;
  if (error.code === 'stopped')
    return new ApiError(
      503,
      'stopped',
      `The answer was stopped: it took longer than ${answerMs / 1000} seconds, or the endpoint ended.`,
    );
  if (error.code === 'format-unsupported' && prompt.tools !== undefined)
    return wrongField(
      'tools',
      `The chat template of this model writes no tools, or not these messages: ${error.message}`,
      'unsupported_parameter',
    );
  if (schema !== undefined && (error.code === 'request-invalid' || error.code === 'tokenizer-unsupported'))
    return wrongField('response_format', `${error.message} ${error.hint}`, 'unsupported_parameter');
  return ofProblem(error);
}
