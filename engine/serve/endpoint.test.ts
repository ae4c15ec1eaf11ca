import { once } from 'node:events';
import { type IncomingHttpHeaders, request as send } from 'node:http';
import { connect, type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { GenerateResult } from '../contract.ts';
import { Problem } from '../problem.ts';
import { type Endpoint, type EndpointOptions, openEndpoint } from './endpoint.ts';
import { type Asked, routes, type Served } from './routes.ts';

const result = (text: string, more: Partial<GenerateResult> = {}): GenerateResult => ({
  ...{ text, tokens: [5, 6, 2], promptTokens: [1, 2, 3, 4], notes: [], ended: 'stop' },
  ...more,
});

/** Stands in for a model: says what it is told to, and keeps what it was asked. */
class Model implements Served {
  readonly name = 'tiny';
  readonly created = 1;
  readonly asked: (Asked & { signal: AbortSignal })[] = [];
  say: (signal: AbortSignal, onText: (text: string) => void) => Promise<GenerateResult> = (_, onText) => {
    for (const text of ['A lemon', ' is yellow.']) onText(text);
    return Promise.resolve(result('A lemon is yellow.'));
  };
  generate(asked: Asked, signal: AbortSignal, onText: (text: string) => void) {
    this.asked.push({ ...asked, signal });
    return this.say(signal, onText);
  }
  /** Answers only when nobody waits any more. */
  sayNothing(): void {
    this.say = (signal) =>
      new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new Problem('stopped', 'It was stopped.', 'Start it again.'))),
      );
  }
}

let endpoint: Endpoint;
let model: Model;
async function opened(options: EndpointOptions = {}): Promise<void> {
  model = new Model();
  endpoint = await openEndpoint(model, options);
}
afterEach(() => endpoint.close());

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly error: { message: string; type: string; param: string | null; code: string } | undefined;
}
interface Sending {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
  readonly host?: string;
}
const usualBody = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'What colour is a lemon?' }] });

/** Sends a request as it is told, which fetch would not: with any Host, Origin and Connection. */
function ask({
  method = 'POST',
  path = '/v1/chat/completions',
  headers = {},
  body = usualBody,
  host,
}: Sending = {}): Promise<Reply> {
  const given: Record<string, string | undefined> = {
    ...{ host: `127.0.0.1:${endpoint.port}`, authorization: `Bearer ${endpoint.token}` },
    ...(method === 'POST' && { 'content-type': 'application/json' }),
    ...headers,
  };
  const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<string, string>;
  return new Promise((done, fail) => {
    const request = send(
      { host: host ?? '127.0.0.1', port: endpoint.port, method, path, headers: kept, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => (text += piece));
        response.on('end', () => {
          const isJson = response.headers['content-type'] === 'application/json';
          const error = isJson ? (JSON.parse(text) as { error?: Reply['error'] }).error : undefined;
          done({ status: response.statusCode!, headers: response.headers, text, error });
        });
      },
    );
    request.on('error', fail);
    request.end(method === 'GET' ? undefined : body);
  });
}
const complete = (fields: object) => ask({ body: JSON.stringify({ ...(JSON.parse(usualBody) as object), ...fields }) });
const json = ({ text }: Reply) => JSON.parse(text) as Record<string, unknown>;

describe.each(routes.map(({ method, path }) => ({ method, path })))('$method $path', ({ method, path }) => {
  const attacks: Readonly<Record<string, [Sending, number]>> = {
    'without a token': [{ headers: { authorization: undefined } }, 401],
    'with an empty token': [{ headers: { authorization: 'Bearer ' } }, 401],
    'with a wrong token': [{ headers: { authorization: `Bearer ${'A'.repeat(43)}` } }, 401],
    'with the token as a password': [{ headers: { authorization: 'Basic dXNlcjp0b2tlbg==' } }, 401],
    'with the token in the path': [{ path: `${path}?api_key=x`, headers: { authorization: undefined } }, 401],
    'from a page': [{ headers: { origin: 'https://evil.example' } }, 403],
    'from a page without an origin': [{ headers: { origin: 'null' } }, 403],
    'from a page of this computer': [{ headers: { origin: 'http://localhost:3000' } }, 403],
    'by a name that was pointed here': [{ headers: { host: 'evil.example' } }, 403],
    'by such a name with the port': [{ headers: { host: 'evil.example:80' } }, 403],
    'by a name that ends as ours': [{ headers: { host: 'localhost.evil.example' } }, 403],
    'by our name at another port': [{ headers: { host: '127.0.0.1:1' } }, 403],
    'by our name without a port': [{ headers: { host: 'localhost' } }, 403],
    'by an address of all interfaces': [{ headers: { host: '0.0.0.0' } }, 403],
    'as a preflight': [{ method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } }, 403],
    'as a preflight of a page': [{ method: 'OPTIONS', headers: { origin: 'https://evil.example' } }, 403],
    'as an upgrade to WebSocket': [{ method: 'GET', headers: { connection: 'Upgrade', upgrade: 'websocket' } }, 400],
    'as an upgrade without a token': [
      { method: 'GET', headers: { connection: 'Upgrade', upgrade: 'websocket', authorization: undefined } },
      400,
    ],
    'by another method': [{ method: 'DELETE' }, 405],
    'by a path that climbs': [{ path: `${path}/../../etc/passwd` }, 404],
    'by a whole address': [{ path: `http://evil.example${path}` }, 404],
  };
  it.each(Object.entries(attacks))('is refused %s', async (_, [sending, status]) => {
    await opened();
    const reply = await ask({ method, path, ...sending });
    expect({ status: reply.status, asked: model.asked }).toEqual({ status, asked: [] });
    expect(Object.keys(reply.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(reply.text).not.toContain(endpoint.token);
    if (status !== 400)
      expect(reply.error).toMatchObject({ message: expect.any(String) as string, type: expect.any(String) as string });
  });

  it('is refused by two names', async () => {
    await opened();
    const hosts = [`localhost:${endpoint.port}`, 'evil.example'].map((name) => `Host: ${name}\r\n`).join('');
    const socket = connect(endpoint.port, '127.0.0.1');
    let text = '';
    socket.on('data', (piece) => (text += piece.toString()));
    socket.write(`${method} ${path} HTTP/1.1\r\n${hosts}Authorization: Bearer ${endpoint.token}\r\nContent-Length: 0\r\n\r\n`);
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 40[03] /);
  });

  it('is answered at both addresses of this computer, by its names', async () => {
    await opened();
    const has6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
    for (const [host, name] of [
      ['127.0.0.1', '127.0.0.1'],
      ['127.0.0.1', 'localhost'],
      ...(has6 ? [['::1', '[::1]']] : []),
    ] as const)
      expect((await ask({ method, path, host, headers: { host: `${name}:${endpoint.port}` } })).status).toBe(200);
  });

  it('does not listen on any other address', async () => {
    await opened();
    const others = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address, internal, scopeid } of others) {
      if (internal || (scopeid !== undefined && scopeid > 0)) continue;
      await expect(ask({ method, path, host: address })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    }
  });

  if (method === 'POST') {
    it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp', ''])(
      'is refused as a form of type %j',
      async (type) => {
        await opened();
        expect((await ask({ method, path, headers: { 'content-type': type } })).error?.code).toBe('json_required');
      },
    );

    it('is refused when it is too large, told or not', async () => {
      await opened({ limits: { bodyBytes: 1000 } });
      const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'x'.repeat(100_000) }] });
      expect((await ask({ method, path, body })).error?.code).toBe('body_too_large');
      const headers = { 'transfer-encoding': 'chunked' };
      expect((await ask({ method, path, body, headers })).error?.code).toBe('body_too_large');
      const packed = { 'content-encoding': 'gzip' };
      expect((await ask({ method, path, headers: packed })).error?.code).toBe('encoding_refused');
      expect(model.asked).toEqual([]);
    });
  }

  it.each([
    ['header', false],
    ['body', true],
  ] as const)('is refused when its %s comes too slowly', async (_, isHeaderSent) => {
    await opened({ limits: { receiveMs: 200 } });
    const head = `${method} ${path} HTTP/1.1\r\nHost: localhost:${endpoint.port}\r\nAuthorization: Bearer ${endpoint.token}\r\n`;
    const rest = 'Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{"model"';
    const socket = connect(endpoint.port, '127.0.0.1');
    let text = '';
    socket.on('data', (piece) => (text += piece.toString()));
    socket.write(isHeaderSent ? head + rest : head);
    await once(socket, 'close');
    // A route that reads no body has answered by then.
    expect(text).toMatch(isHeaderSent && method === 'GET' ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 408 /);
    expect(model.asked).toEqual([]);
  });
});

describe('the endpoint', () => {
  it('has a token of 256 bits and a port of its own each time, and knows when a port is taken', async () => {
    await opened();
    expect(Buffer.from(endpoint.token, 'base64url')).toHaveLength(32);
    const other = await openEndpoint(model);
    expect([other.token, other.port]).not.toEqual([endpoint.token, endpoint.port]);
    await other.close();
    await expect(openEndpoint(model, { port: endpoint.port })).rejects.toMatchObject({ code: 'not-allowed' });
    const taken = createServer().listen(0, '::1');
    await once(taken, 'listening').catch(() => {});
    const { port } = (taken.address() ?? { port: 0 }) as AddressInfo;
    // A program that listens on the other address alone would get what is meant for us.
    if (port > 0) await expect(openEndpoint(model, { port })).rejects.toMatchObject({ code: 'not-allowed' });
    taken.close();
  });

  it('frees its port and ends what it is answering when it is closed', async () => {
    await opened();
    model.sayNothing();
    const asked = ask().catch((error: unknown) => error);
    await vi.waitFor(() => expect(model.asked).toHaveLength(1));
    await endpoint.close();
    expect(model.asked[0]!.signal.aborted).toBe(true);
    await asked;
    const again = await openEndpoint(model, { port: endpoint.port });
    await again.close();
    await opened();
  });

  it('names the model, and answers no other', async () => {
    await opened();
    expect(json(await ask({ method: 'GET', path: '/v1/models' }))).toEqual({
      object: 'list',
      data: [{ id: 'tiny', object: 'model', created: 1, owned_by: 'lowrank-studio' }],
    });
    const reply = await complete({ model: 'gpt-4o' });
    expect([reply.status, reply.error]).toEqual([
      404,
      { message: "The model served here is 'tiny'.", type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
    ]);
  });
});

describe('an answer', () => {
  it('comes whole, with the counts of its tokens', async () => {
    await opened();
    const { choices, usage, ...rest } = json(await ask());
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'A lemon is yellow.', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    expect(usage).toEqual({ prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 });
    expect(rest).toMatchObject({ object: 'chat.completion', model: 'tiny' });
    model.say = () => Promise.resolve(result('A', { ended: 'length' }));
    expect(json(await ask())['choices']).toMatchObject([{ finish_reason: 'length' }]);
  });

  it('comes piece by piece', async () => {
    await opened();
    const reply = await complete({ stream: true, stream_options: { include_usage: true } });
    expect(reply.headers['content-type']).toBe('text/event-stream');
    const events = reply.text.split('\n\n').filter((event) => event !== '');
    expect(events.at(-1)).toBe('data: [DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.replace(/^data: /, '')) as Record<string, unknown>);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.map(({ choices }) => choices)).toMatchObject([
      [{ delta: { role: 'assistant', content: '' }, finish_reason: null }],
      [{ delta: { content: 'A lemon' }, finish_reason: null }],
      [{ delta: { content: ' is yellow.' }, finish_reason: null }],
      [{ delta: {}, finish_reason: 'stop' }],
      [],
    ]);
    expect(chunks.at(-1)!['usage']).toEqual({ prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 });
    expect((await complete({ stream: true })).text).not.toContain('usage');
  });

  it('takes the settings of the request', async () => {
    await opened();
    await complete({ temperature: 0.5, top_p: 0.9, seed: 7, max_tokens: 9, stop: '\n', user: 'me', n: 1, logprobs: null });
    await complete({ max_completion_tokens: 3, stop: ['a', 'b'] });
    const [one, other] = model.asked.map(({ settings }) => settings);
    expect(one).toEqual({
      ...{ temperature: 0.5, topP: 0.9, topK: 0, seed: 7, maxTokens: 9, stop: ['\n'], ignoreStop: false },
    });
    expect(other).toMatchObject({ maxTokens: 3, stop: ['a', 'b'], temperature: 1 });
  });

  it('reads contents of parts, developers, calls and their results', async () => {
    await opened();
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } };
    const messages = [
      { role: 'developer', content: 'Be short.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', content: '1', tool_call_id: 'c' },
    ];
    expect((await complete({ messages })).status).toBe(200);
    expect(model.asked[0]!.prompt.messages).toEqual([
      messages[0],
      { role: 'user', content: 'ab' },
      { role: 'assistant', content: '', tool_calls: [call] },
      messages[3],
    ]);
  });

  it('is held to a schema', async () => {
    await opened();
    const schema = { type: 'object', properties: { a: { type: 'integer' } } };
    await complete({ response_format: { type: 'json_schema', json_schema: { name: 'a', strict: true, schema } } });
    await complete({ response_format: { type: 'json_object' } });
    await complete({ response_format: { type: 'text' } });
    expect(model.asked.map((asked) => asked.schema)).toEqual([schema, { type: 'object' }, undefined]);
    model.say = () => Promise.reject(new Problem('request-invalid', "'not' at /not is not supported.", 'Leave it out.'));
    const refused = await complete({ response_format: { type: 'json_schema', json_schema: { schema: { not: {} } } } });
    expect(refused).toMatchObject({ status: 400, error: { param: 'response_format', code: 'unsupported_parameter' } });
  });

  it('has calls where it calls the tools that were offered', async () => {
    await opened();
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];
    const text = 'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Łódź"}}\n</tool_call>';
    model.say = () => Promise.resolve(result(text));
    const call = { type: 'function', function: { name: 'weather', arguments: '{"city":"Łódź"}' } };
    expect(json(await complete({ tools }))['choices']).toMatchObject([
      { message: { content: 'Let me look.', tool_calls: [call] }, finish_reason: 'tool_calls' },
    ]);
    const streamed = (await complete({ tools, stream: true })).text;
    expect(streamed).toContain('"tool_calls":[{"index":0');
    expect(streamed).not.toContain('<tool_call>');
    // What was not offered, or offered and not wanted, is a text.
    for (const fields of [{}, { tools, tool_choice: 'none' }, { tools: [{ type: 'function', function: { name: 'other' } }] }])
      expect(json(await complete(fields))['choices']).toMatchObject([{ message: { content: text }, finish_reason: 'stop' }]);
  });

  it.each([
    [{ n: 2 }, 'n', 'unsupported_parameter'],
    [{ logprobs: true }, 'logprobs', 'unsupported_parameter'],
    [{ top_logprobs: 2 }, 'top_logprobs', 'unsupported_parameter'],
    [{ logit_bias: { 1: 2 } }, 'logit_bias', 'unsupported_parameter'],
    [{ presence_penalty: 0.5 }, 'presence_penalty', 'unsupported_parameter'],
    [{ functions: [] }, 'functions', 'unsupported_parameter'],
    [{ tool_choice: 'required' }, 'tool_choice', 'unsupported_parameter'],
    [{ response_format: { type: 'grammar' } }, 'response_format.type', 'unsupported_parameter'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema', 'invalid_value'],
    [
      { response_format: { type: 'json_object' }, tools: [{ type: 'function', function: { name: 'f' } }] },
      'response_format',
      'unsupported_parameter',
    ],
    [{ temprature: 1 }, 'temprature', 'unknown_parameter'],
    [{ constructor: 1 }, 'constructor', 'unknown_parameter'],
    [{ temperature: 3 }, 'temperature', 'invalid_value'],
    [{ top_p: '1' }, 'top_p', 'invalid_value'],
    [{ seed: 1.5 }, 'seed', 'invalid_value'],
    [{ max_tokens: 0 }, 'max_tokens', 'invalid_value'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', 'invalid_value'],
    [{ stop: '' }, 'stop', 'invalid_value'],
    [{ stream: 1 }, 'stream', 'invalid_value'],
    [{ messages: [] }, 'messages', 'invalid_value'],
    [{ messages: 'Hi' }, 'messages', 'invalid_value'],
    [{ messages: [{ role: 'robot', content: '' }] }, 'messages[0].role', 'invalid_value'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', 'invalid_value'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] },
      'messages[0].content[0]',
      'unsupported_parameter',
    ],
    [{ messages: [{ role: 'user', content: 'a', audio: {} }] }, 'messages[0].audio', 'unsupported_parameter'],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type', 'unsupported_parameter'],
    [{ model: 1 }, 'model', 'invalid_value'],
  ])('is refused by name: %j', async (fields, param, code) => {
    await opened();
    const reply = await complete(fields);
    expect([reply.status, reply.error]).toMatchObject([400, { param, code, type: 'invalid_request_error' }]);
    expect(reply.error!.message).toContain(param.replace(/^.*\[0\]\.?/, ''));
    expect(model.asked).toEqual([]);
  });

  it.each(['{', '[]', 'null', ''])('is refused for a body that is not the JSON of an object: %j', async (body) => {
    await opened();
    expect((await ask({ body })).error?.code).toBe('invalid_json');
  });

  it('says why the model does not answer', async () => {
    await opened();
    model.say = () => Promise.reject(new Problem('row-too-long', 'The prompt has 9 tokens.', 'Use a shorter prompt.'));
    expect(await ask()).toMatchObject({ status: 400, error: { code: 'context_length_exceeded', param: 'messages' } });
    model.say = () => Promise.reject(new Problem('format-unsupported', 'No tools.', 'None.'));
    const tools = [{ type: 'function', function: { name: 'f' } }];
    expect(await complete({ tools })).toMatchObject({ status: 400, error: { param: 'tools' } });
    // A stream that has begun can only say it in an event.
    model.say = (_, onText) => {
      onText('A');
      return Promise.reject(new Problem('out-of-memory', 'No memory.', 'Close something.'));
    };
    const { status, text } = await complete({ stream: true });
    expect(status).toBe(200);
    expect(text).toContain('data: {"error":{"message":"No memory.');
    expect(text).not.toContain('[DONE]');
  });

  it('ends after a time', async () => {
    await opened({ limits: { answerMs: 50 } });
    model.sayNothing();
    expect(await ask()).toMatchObject({ status: 503, error: { code: 'stopped', type: 'server_error' } });
  });

  it('ends when its client goes away, and the next has its turn', async () => {
    await opened();
    const usual = model.say;
    model.sayNothing();
    const leaving = new AbortController();
    const url = `http://127.0.0.1:${endpoint.port}/v1/chat/completions`;
    const headers = { authorization: `Bearer ${endpoint.token}`, 'content-type': 'application/json' };
    const left = fetch(url, { method: 'POST', headers, body: usualBody, signal: leaving.signal }).catch(() => 'left');
    await vi.waitFor(() => expect(model.asked).toHaveLength(1));
    model.say = usual;
    const next = ask();
    await vi.waitFor(() => expect(endpoint.activity.waiting).toBe(1));
    expect(model.asked).toHaveLength(1);
    leaving.abort();
    expect(await left).toBe('left');
    expect((await next).status).toBe(200);
    expect(model.asked[0]!.signal.aborted).toBe(true);
  });

  it('waits for those before it, up to a number of them', async () => {
    await opened({ limits: { waiting: 2 } });
    const turns: (() => void)[] = [];
    model.say = () => new Promise((done) => turns.push(() => done(result('A'))));
    const asked = [ask()];
    await vi.waitFor(() => expect(turns).toHaveLength(1));
    asked.push(ask());
    await vi.waitFor(() => expect(endpoint.activity.waiting).toBe(1));
    asked.push(ask());
    await vi.waitFor(() => expect(endpoint.activity).toEqual({ answered: 0, waiting: 2, isAnswering: true }));
    const full = await ask();
    expect(full).toMatchObject({ status: 429, headers: { 'retry-after': '5' }, error: { type: 'rate_limit_error' } });
    for (let i = 0; i < 3; i++) {
      await vi.waitFor(() => expect(turns).toHaveLength(i + 1));
      turns[i]!();
    }
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(endpoint.activity).toEqual({ answered: 3, waiting: 0, isAnswering: false });
  });
});
