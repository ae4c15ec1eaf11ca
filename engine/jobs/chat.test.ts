import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataReport, GenerateResult, JobMessage, JobRequest, RenderedRows, RowLine } from '../contract.ts';
import { tokenizerOf } from '../data/tokenizer.ts';
import { openModel } from '../models/open.ts';
import { defaultRecipe } from '../recipe.ts';
import { writeAdapter } from '../adapters/folder.ts';
import { newAdapter } from '../adapters/initial.ts';
import { silentAsker } from '../testing/port.ts';
import { runChat } from './chat.ts';
import { runData } from './data.ts';
import type { JobAsker, JobPort } from './port.ts';

const modelPath = 'resources/tiny/model';
const work = mkdtempSync(join(tmpdir(), 'lowrank-chat-'));
afterAll(() => rmSync(work, { recursive: true }));

/** Stands in for the host: keeps what the job sends and asks it as the host would. */
class Host implements JobPort {
  readonly sent: JobMessage[] = [];
  stopRequested = false;
  readonly #ready = Promise.withResolvers<(request: JobRequest, asker: JobAsker) => Promise<unknown>>();
  readonly #stopped = Promise.withResolvers<void>();
  onToken: (() => void) | null = null;

  send(message: JobMessage): void {
    this.sent.push(message);
    if (message.type === 'token') this.onToken?.();
  }
  onRequest(handler: (request: JobRequest, asker: JobAsker) => Promise<unknown>): void {
    this.#ready.resolve(handler);
  }
  untilStopped(): Promise<void> {
    return this.#stopped.promise;
  }
  stop(): void {
    this.stopRequested = true;
    this.#stopped.resolve();
  }
  async ask<T>(request: JobRequest, asker = silentAsker): Promise<T> {
    return (await (
      await this.#ready.promise
    )(request, asker)) as T;
  }
}

describe('a chat', () => {
  const host = new Host();
  const settings = { maxTokens: 40, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };
  const ask = (content: string, more: Partial<Extract<JobRequest, { name: 'generate' }>> = {}, signal = silentAsker.signal) =>
    host.ask<GenerateResult>(
      {
        name: 'generate',
        streamId: 'a',
        adapters: [],
        settings,
        prompt: { messages: [{ role: 'user', content }] },
        ...more,
      },
      { ...silentAsker, signal },
    );
  let ended: Promise<null>;
  beforeAll(() => {
    ended = runChat({ kind: 'chat', model: { path: modelPath }, cacheDir: join(work, 'cache') }, host);
  });
  afterAll(async () => {
    host.stop();
    expect(await ended).toBeNull();
  });

  it('answers from what the model has learned, streaming', async () => {
    const { text, tokens } = await ask('What colour is a lemon?');
    expect(text).toBe('A lemon is yellow.');
    expect(tokens.at(-1)).toBe(2);
    const deltas = host.sent.flatMap((message) => (message.type === 'token' ? [message.text] : []));
    expect(deltas.join('')).toBe(text);
  });

  it('holds an answer to a schema, marks it, and refuses a schema that it cannot be held to', async () => {
    const schema = { type: 'object', properties: { colour: { enum: ['yellow', 'blue'] } }, required: ['colour'] };
    const answer = await ask('What colour is a lemon?', { schema: { ...schema, additionalProperties: false } });
    expect(JSON.parse(answer.text)).toEqual({ colour: expect.stringMatching(/^(yellow|blue)$/) as string });
    expect(answer).toMatchObject({ constrained: 'complete', notes: [expect.stringContaining('held to the schema')] });
    const cut = await ask('What colour is a lemon?', { schema, settings: { ...settings, maxTokens: 2 } });
    expect(cut).toMatchObject({ constrained: 'cut', notes: [expect.stringMatching(/cut after 2 tokens.* are enough/)] });
    await expect(ask('Hi', { schema: { properties: { a: { not: {} } } } })).rejects.toThrow('/properties/a/not');
    expect(await ask('Hi')).not.toHaveProperty('constrained');
  });

  it('takes adapters per request and goes back to the base', async () => {
    const model = openModel(modelPath);
    const adapter = newAdapter({ ...defaultRecipe(), rank: 4 }, model, null);
    adapter.parameters.fill(0.3);
    const path = join(work, 'adapter');
    writeAdapter(path, adapter);
    const adapters = [{ path, weight: 1 }];
    expect((await ask('What colour is a lemon?', { adapters })).text).not.toBe('A lemon is yellow.');
    expect((await ask('What colour is a lemon?', { adapters: [{ path, weight: 0 }] })).text).toBe('A lemon is yellow.');
    expect((await ask('What colour is a lemon?')).text).toBe('A lemon is yellow.');
  });

  it('offers tools where the chat template writes them, and refuses them elsewhere', async () => {
    const tools = [{ type: 'function', function: { name: 'weather' } }];
    const messages = [
      { role: 'developer', content: 'Be short.' },
      { role: 'user', content: 'What colour is a lemon?' },
    ] as const;
    await expect(ask('', { prompt: { messages, tools } })).rejects.toThrow(/'tools'/);
    const model = join(work, 'tools');
    cpSync(modelPath, model, { recursive: true });
    const source = `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}`;
    writeFileSync(join(model, 'chat_template.jinja'), source);
    const other = new Host();
    const done = runChat({ kind: 'chat', model: { path: model }, cacheDir: join(work, 'cache') }, other);
    const asked = async (prompt: Extract<JobRequest, { name: 'generate' }>['prompt']) => {
      const request = {
        name: 'generate',
        streamId: 'a',
        adapters: [],
        settings: { ...settings, maxTokens: 1 },
        prompt,
      } as const;
      return (await other.ask<GenerateResult>(request)).promptTokens;
    };
    const tokenizer = tokenizerOf(openModel(model))!;
    const text = await tokenizer.decode(await asked({ messages, tools }), { skipSpecial: false });
    expect(text).toContain('"name": "weather"');
    expect(text).toContain('developer: Be short.');
    expect(await tokenizer.decode(await asked({ messages }), { skipSpecial: false })).not.toContain('weather');
    other.stop();
    await done;
  });

  it('asks an adapter for thoughts, or for none, as its run did', async () => {
    // A model whose template asks in two ways, of which only one is what it has learned.
    const model = join(work, 'thinking');
    cpSync(modelPath, model, { recursive: true });
    const template = join(model, 'chat_template.jinja');
    const config = join(model, 'tokenizer_config.json');
    const source = existsSync(template)
      ? readFileSync(template, 'utf8')
      : (JSON.parse(readFileSync(config, 'utf8')) as { chat_template: string }).chat_template;
    writeFileSync(template, `{% if enable_thinking is defined and enable_thinking %}What? {% endif %}${source}`);
    const run = join(work, 'run');
    const adapter = newAdapter({ ...defaultRecipe(), rank: 4 }, openModel(modelPath), null);
    writeAdapter(join(run, 'adapter'), adapter);
    const record = {
      ...{ version: 1, base: { path: model, hash: 'a' }, data: { paths: ['/d'], hash: 'b', rows: 3 }, totalSteps: 3 },
      ...{ trainableParameters: 3, startedAt: '2026-07-15T00:00:00.000Z', evaluation: null },
    };
    const other = new Host();
    const done = runChat({ kind: 'chat', model: { path: model }, cacheDir: join(work, 'cache') }, other);
    const answered = async (thinking: string) => {
      writeFileSync(join(run, 'run.json'), JSON.stringify({ ...record, recipe: { rank: 4, thinking } }));
      const prompt = { messages: [{ role: 'user' as const, content: 'What colour is a lemon?' }] };
      const adapters = [{ path: join(run, 'adapter'), weight: 1 }];
      return other.ask<GenerateResult>({ name: 'generate', streamId: 'a', adapters, settings, prompt });
    };
    const [row, on, off] = [await answered('row'), await answered('on'), await answered('off')];
    expect(row.notes).toEqual([]);
    expect(on.notes).toEqual(['The first adapter was trained with thinking on, and is asked like that.']);
    expect([row.text, off.text]).toEqual(['A lemon is yellow.', 'A lemon is yellow.']);
    expect(on.promptTokens.length).toBeGreaterThan(row.promptTokens.length);
    expect(off.promptTokens).toEqual(row.promptTokens);
    other.stop();
    await done;
  });

  it('refuses an adapter that is another than was recorded, whether it was read before or not', async () => {
    const path = join(work, 'recorded');
    const written = writeAdapter(path, newAdapter({ ...defaultRecipe(), rank: 4 }, openModel(modelPath), null));
    const { hash, configHash } = written;
    const answered = (known: object) => ask('Hello!', { adapters: [{ path, weight: 1, ...known }] });
    await expect(answered({ hash, configHash: 'another' })).rejects.toMatchObject({ code: 'adapter-changed' });
    await answered({ hash, configHash });
    await expect(answered({ hash: 'another', configHash })).rejects.toMatchObject({ code: 'adapter-changed' });
    // A version that an earlier studio recorded is held to its numbers alone.
    await answered({ hash, configHash: null });
    const config = join(path, 'adapter_config.json');
    writeFileSync(config, readFileSync(config, 'utf8').replace(/"lora_alpha": ?\d+/, '"lora_alpha": 99'));
    await expect(answered({ hash, configHash })).rejects.toMatchObject({ code: 'adapter-changed' });
    await answered({});
  });

  it('serves requests in turn, and stops the one nobody waits for any more, or never begins it', async () => {
    const [cancel, gone] = [new AbortController(), new AbortController()];
    let seen = 0;
    host.onToken = () => {
      if (++seen === 3) cancel.abort();
    };
    const settingsOfEndless = { ...settings, maxTokens: 400, ignoreStop: true };
    const endless = ask('Hello!', { streamId: 'endless', settings: settingsOfEndless }, cancel.signal);
    const waiting = ask('Hello!', { streamId: 'waiting', settings: settingsOfEndless }, gone.signal);
    const other = ask('Write 7.', { streamId: 'other' });
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'stopped' });
    expect((await endless).tokens.length).toBeLessThan(20);
    expect((await other).text).toBe('seven');
    expect(host.sent.some((message) => message.type === 'token' && message.streamId === 'waiting')).toBe(false);
    host.onToken = null;
  });

  it('refuses prompts it cannot read', async () => {
    await expect(ask('', { prompt: { tokens: [1, 384] } })).rejects.toMatchObject({ code: 'token-out-of-range' });
    await expect(ask('', { prompt: { tokens: [] } })).rejects.toMatchObject({ code: 'request-invalid' });
    await expect(ask('', { prompt: { tokens: Array.from({ length: 512 }, () => 1) } })).rejects.toMatchObject({
      code: 'row-too-long',
    });
    await expect(ask('x', { adapters: [{ path: join(work, 'none'), weight: 1 }] })).rejects.toMatchObject({
      code: 'file-missing',
    });
  });
});

describe('data preparation', () => {
  it('renders, pages and reports, and sees a changed file', async () => {
    const host = new Host();
    const ended = runData({ kind: 'data', model: { path: modelPath }, cacheDir: work }, host);
    const path = join(work, 'rows.jsonl');
    const row = JSON.stringify({
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Yes' },
      ],
    });
    writeFileSync(path, `${row}\n{"messages": 1}\n${row}\n`);
    const { rows: rendered } = await host.ask<RenderedRows>({ name: 'render', data: { paths: [path] }, offset: 0 });
    expect(rendered[0]).toMatchObject({ text: '<|bos|><|user|>\nHi<|end|>\n<|assistant|>\nYes<|end|>\n' });
    expect(rendered[1]).toMatchObject({ problem: { code: 'data-invalid', line: 2 } });
    const page = { name: 'rows', data: { paths: [path] }, offset: 1, limit: 5, maxLength: 64 } as const;
    const { rows, total } = await host.ask<{ rows: RowLine[]; total: number }>(page);
    expect([total, rows.map((view) => view.line)]).toEqual([3, [2, 3]]);
    const report = { name: 'report', data: { paths: [path] }, maxLength: 64 } as const;
    expect(await host.ask<DataReport>(report)).toMatchObject({ rows: 3, duplicateRows: 1 });
    expect(await host.ask<{ rows: RowLine[]; total: number }>({ ...page, offset: 2 })).toMatchObject({
      total: 3,
      rows: [{ index: 2, examples: 1 }],
    });
    writeFileSync(path, `${row}\n`);
    expect(await host.ask<DataReport>(report)).toMatchObject({ rows: 1, duplicateRows: 0 });
    host.stop();
    expect(await ended).toBeNull();
  });
});
