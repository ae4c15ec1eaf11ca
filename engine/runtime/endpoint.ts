/**
 * Asks an OpenAI-compatible endpoint for an answer. It connects to the one address that a person typed, follows no redirection,
 * and sends a key only where the person named the variable that holds it.
 */
import type { ChatMessage, EndpointRef } from '../contract.ts';
import { Problem } from '../problem.ts';

export interface EndpointAnswer {
  readonly text: string;
  /** Gives the tokens as the endpoint counts them, or null where it does not say. */
  readonly promptTokens: number | null;
  readonly tokens: number | null;
}

/** Gives the milliseconds after which an answer is no longer waited for. */
const longestWait = 300_000;

/** Asks for a greedy answer of at most `maxTokens` tokens. Throws a `Problem` for anything but an answer. */
export async function askEndpoint(
  { url, model, keyVariable }: EndpointRef,
  messages: readonly ChatMessage[],
  maxTokens: number,
  signal: AbortSignal,
): Promise<EndpointAnswer> {
  const address = addressOf(url);
  const key = keyVariable === undefined ? null : keyIn(keyVariable);
  const body = JSON.stringify({ model, messages, temperature: 0, max_tokens: maxTokens, stream: false });
  const headers = { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) };
  let response: Response;
  let text: string;
  try {
    const until = AbortSignal.any([signal, AbortSignal.timeout(longestWait)]);
    response = await fetch(address, { method: 'POST', headers, body, signal: until, redirect: 'error' });
    text = await response.text();
  } catch (cause) {
    throw refused(url, `cannot be reached (${reasonOf(cause)})`, cause);
  }
  if (!response.ok) throw refused(url, `answered with status ${response.status}: ${text.slice(0, 300)}`);
  return answerIn(text, url);
}

function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : null;
  if (address === null || !/^https?:$/.test(address.protocol))
    throw new Problem('request-invalid', `'${url}' is no address of an endpoint.`, 'Write it as http://127.0.0.1:8080/v1.');
  address.pathname = `${address.pathname.replace(/\/+$/, '')}/chat/completions`;
  return address;
}

function keyIn(variable: string): string {
  const key = process.env[variable];
  if (key) return key;
  throw new Problem(
    'request-invalid',
    `The environment variable ${variable}, which should hold the key of the endpoint, is not set in the engine.`,
    'Set it, close all windows and commands of the studio, and start it again.',
  );
}

function answerIn(text: string, url: string): EndpointAnswer {
  try {
    const { choices, usage } = JSON.parse(text) as {
      readonly choices: readonly { readonly message: { readonly content: unknown } }[];
      readonly usage?: { readonly prompt_tokens?: unknown; readonly completion_tokens?: unknown };
    };
    const content = choices[0]!.message.content ?? '';
    if (typeof content === 'string')
      return { text: content, promptTokens: countOf(usage?.prompt_tokens), tokens: countOf(usage?.completion_tokens) };
  } catch {
    // It is refused below like any other text that is no answer.
  }
  throw refused(url, `did not answer as an OpenAI-compatible endpoint does: ${text.slice(0, 300)}`);
}

function countOf(value: unknown): number | null {
  return Number.isSafeInteger(value) ? (value as number) : null;
}

function reasonOf(error: unknown): string {
  const cause = (error as { readonly cause?: unknown }).cause ?? error;
  return cause instanceof Error ? cause.message : String(cause);
}

function refused(url: string, why: string, cause?: unknown): Problem {
  return new Problem('endpoint-failed', `The endpoint ${url} ${why}.`, 'Check that it runs, and its address and model.', {
    cause,
  });
}
