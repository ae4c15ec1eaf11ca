import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { writeAdapter } from '../adapters/folder.ts';
import { newAdapter } from '../adapters/initial.ts';
import type { ServeState, StartedEndpoint } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { defaultRecipe } from '../recipe.ts';
import { connectHost } from '../rpc.ts';
import { commandFolder, keepEngine, startCommand } from '../testing/command-line.ts';

const model = fileURLToPath(new URL('../../resources/tiny/model', import.meta.url));
const limit = 300_000;
const { folder, dataDir } = commandFolder('serve');
const client = keepEngine(dataDir);

/** Starts `lowrank serve`; `started` has what it prints as JSON, or null where it ends before. */
function serve(...args: string[]) {
  const { child, ended } = startCommand(dataDir, ['serve', '--json', ...args]);
  let stdout = '';
  const printed = new Promise<StartedEndpoint>((done) =>
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.endsWith('\n')) done(JSON.parse(stdout) as StartedEndpoint);
    }),
  );
  return { child, ended, started: Promise.race([printed, ended.then(() => null)]) };
}

const lemon = { messages: [{ role: 'user', content: 'What colour is a lemon?' }], temperature: 0 };
async function complete({ url, token, model }: StartedEndpoint, fields: object): Promise<Response> {
  return fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, ...lemon, ...fields }),
  });
}
interface Completion {
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[];
  readonly usage: object;
}

test('a model is served until Ctrl-C, with its token told once and kept nowhere', { timeout: limit }, async () => {
  const { child, ended, started } = serve('--model', model);
  const endpoint = (await started)!;
  expect(endpoint).toMatchObject({ model: 'model', adapters: [], waiting: 0, isAnswering: false });
  const answer = (await (await complete(endpoint, {})).json()) as Completion;
  expect(answer.choices).toMatchObject([{ message: { content: 'A lemon is yellow.' }, finish_reason: 'stop' }]);

  // The counts are those of what the command line generates.
  const settings = { maxTokens: 40, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };
  const asked = { model: { path: model }, adapters: [], settings, streamId: 'a' };
  const prompt = { messages: [{ role: 'user', content: 'What colour is a lemon?' }] } as const;
  const generated = await client().request('generate.start', { ...asked, prompt });
  const [prompted, completed] = [generated.promptTokens.length, generated.tokens.length];
  expect(answer.usage).toEqual({ prompt_tokens: prompted, completion_tokens: completed, total_tokens: prompted + completed });

  const cut = (await (await complete(endpoint, { stop: [' is'] })).json()) as Completion;
  expect(cut.choices).toMatchObject([{ message: { content: 'A lemon' }, finish_reason: 'stop' }]);
  const short = (await (await complete(endpoint, { max_tokens: 2 })).json()) as Completion;
  expect([short.choices[0]!.finish_reason, short.usage]).toMatchObject(['length', { completion_tokens: 2 }]);
  const streamed = await (await complete(endpoint, { stream: true })).text();
  const pieces = [...streamed.matchAll(/"delta":\{(?:"role":"assistant",)?"content":("(?:[^"\\]|\\.)*")/g)];
  expect(pieces.map(([, text]) => JSON.parse(text!) as string).join('')).toBe('A lemon is yellow.');
  expect(pieces.length).toBeGreaterThan(3);
  const schema = { type: 'object', properties: { colour: { enum: ['red', 'yellow'] } }, required: ['colour'] };
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'colour', schema } } };
  const held = (await (await complete(endpoint, format)).json()) as Completion;
  expect(held.choices[0]!.finish_reason).toBe('stop');
  expect(['red', 'yellow']).toContain((JSON.parse(held.choices[0]!.message.content) as { colour: string }).colour);
  const wrong = { response_format: { type: 'json_schema', json_schema: { name: 'colour', schema: { not: schema } } } };
  expect(await (await complete(endpoint, wrong)).json()).toMatchObject({ error: { param: 'response_format' } });
  // This model's template writes no tools.
  const tools = [{ type: 'function', function: { name: 'weather' } }];
  expect(await (await complete(endpoint, { tools })).json()).toMatchObject({ error: { param: 'tools' } });

  const state = await client().request('serve.state', undefined);
  expect(state).toMatchObject({ url: endpoint.url, answered: 5 });
  expect(JSON.stringify(state)).not.toContain(endpoint.token);
  const other = serve('--model', model);
  expect(await other.started).toMatchObject({ problem: { code: 'not-allowed' } });
  expect((await other.ended).status).toBe(1);

  child.kill('SIGINT');
  expect((await ended).status).toBe(0);
  expect(await client().request('serve.state', undefined)).toBeNull();
  await expect(complete(endpoint, {})).rejects.toThrow();
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const holders = files.filter((file) => readFileSync(join(file.parentPath, file.name)).includes(endpoint.token));
  expect(holders).toEqual([]);
});

test(
  'an adapter is served, and the endpoint ends with whoever started it or where another stops it',
  { timeout: limit },
  async () => {
    const adapter = newAdapter({ ...defaultRecipe(), rank: 4 }, openModel(model), null);
    adapter.parameters.fill(0.3);
    const path = join(folder, 'adapter');
    writeAdapter(path, adapter);
    const { ended, started } = serve('--model', model, '--adapter', `${path}=0.5`);
    const endpoint = (await started)!;
    expect(endpoint).toMatchObject({ model: 'adapter=0.5', adapters: [{ path, weight: 0.5, name: 'adapter' }] });
    const answer = (await (await complete(endpoint, { max_tokens: 8 })).json()) as Completion;
    expect(answer.choices[0]!.message.content).not.toBe('A lemon is yellow.');
    await client().request('serve.stop', undefined);
    expect(await ended).toMatchObject({ status: 0, stderr: expect.stringContaining('It was stopped') as string });

    const owner = await connectHost(dataDir);
    const { url } = await owner.request('serve.start', { model: { path: model }, adapters: [] });
    const states: (ServeState | null)[] = [];
    const gone = new Promise<void>((done) => client().on('serve.changed', (state) => (states.push(state), state ?? done())));
    owner.close();
    await gone;
    await expect(fetch(`${url}/models`)).rejects.toThrow();

    // What does not fit is known before anybody is told a URL.
    const base = { model: { path: model } };
    const wrong = client().request('serve.start', { ...base, adapters: [{ path: join(folder, 'none'), weight: 1 }] });
    await expect(wrong).rejects.toMatchObject({ code: 'file-missing' });
    expect(await client().request('serve.state', undefined)).toBeNull();
  },
);
