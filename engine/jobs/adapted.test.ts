/** An adapter may bring its own tokenizer, template and tokens: every job uses them, and says so. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GenerateResult, JobMessage, JobRequest, JobSpec } from '../contract.ts';
import { readGguf } from '../formats/gguf.ts';
import { readSafetensors, readSafetensorsFloat32, SafetensorsWriter } from '../formats/safetensors.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { openModel } from '../models/open.ts';
import { openAdapted } from '../adapters/adapted.ts';
import { adapterShape, tensorView } from '../adapters/adapter.ts';
import { adapterConfig } from '../adapters/config.ts';
import { formatAdapterConfig } from '../adapters/config-file.ts';
import { defaultRecipe } from '../recipe.ts';
import { openSession } from '../runtime/session.ts';
import { silentAsker } from '../testing/port.ts';
import { saidIn } from '../testing/run-events.ts';
import { runChat } from './chat.ts';
import { runEvaluate } from './evaluate.ts';
import { runExport } from './export.ts';
import type { JobPort } from './port.ts';
import { runTrain } from './train.ts';

const modelPath = 'resources/tiny/model';
const work = mkdtempSync(join(tmpdir(), 'lowrank-adapted-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));

const rows = 387;
const template =
  "{{ bos_token }}<|plan|>{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}";

interface Contents {
  /** Three tokens more than the base, with rows of the embedding. */
  readonly tokens?: boolean;
  readonly embedding?: boolean;
  readonly template?: boolean;
}

/** Writes an adapter as PEFT and transformers save it. */
function adapterFolder({ tokens = false, embedding = tokens, template: own = false }: Contents): string {
  const model = openModel(modelPath);
  const folder = mkdtempSync(join(work, 'adapter-'));
  const config = adapterConfig({ ...defaultRecipe(), rank: 2, alpha: 4, targetModules: ['q_proj', 'v_proj'] });
  writeFileSync(join(folder, 'adapter_config.json'), formatAdapterConfig(config));
  const shape = adapterShape(config, model.spec);
  const values = Float32Array.from({ length: shape.length }, (_, i) => Math.sin(i * 7.1) / 40);
  const name = 'model.embed_tokens.weight';
  const grown = new Float32Array(rows * model.spec.hiddenSize).map((_, i) => Math.sin(i) / 9);
  grown.set(model.weights.read(name));
  const copies = embedding ? [{ name: `base_model.model.${name}`, shape: [rows, model.spec.hiddenSize], values: grown }] : [];
  const stored = [...shape.tensors.map((tensor) => ({ ...tensor, values: tensorView(values, tensor) })), ...copies];
  const writer = new SafetensorsWriter(
    join(folder, 'adapter_model.safetensors'),
    stored.map((tensor) => ({ name: tensor.name, shape: tensor.shape, type: 'F32' })),
  );
  for (const tensor of stored) writer.write(tensor.values);
  writer.finish();
  if (tokens) {
    const json = JSON.parse(readFileSync(join(modelPath, 'tokenizer.json'), 'utf8')) as { added_tokens: object[] };
    const added = ['<|plan|>', '<|act|>', '<|see|>'].map((content, i) => {
      return { ...json.added_tokens[0], id: 384 + i, content, special: true };
    });
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify({ ...json, added_tokens: [...json.added_tokens, ...added] }));
    cpSync(join(modelPath, 'tokenizer_config.json'), join(folder, 'tokenizer_config.json'));
  }
  if (own) writeFileSync(join(folder, 'chat_template.jinja'), template);
  return folder;
}

const messages: JobMessage[] = [];
const port: JobPort = {
  send: (message) => messages.push(message),
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => new Promise<void>(() => {}),
};

function answers(adapters: readonly string[], of = modelPath): Promise<GenerateResult> {
  const { promise, resolve } = Promise.withResolvers<GenerateResult>();
  const request: JobRequest = {
    name: 'generate',
    streamId: 'a',
    adapters: adapters.map((path) => ({ path, weight: 1 })),
    settings: { maxTokens: 4, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: true },
    prompt: { messages: [{ role: 'user', content: 'What colour is a lemon?' }] },
  };
  const stopped = Promise.withResolvers<void>();
  const chat = runChat(
    { kind: 'chat', model: { path: of }, cacheDir },
    {
      ...port,
      onRequest: (handler) =>
        void handler(request, silentAsker).then(
          (answer) => (resolve(answer as GenerateResult), stopped.resolve()),
          stopped.reject,
        ),
      untilStopped: () => stopped.promise,
    },
  );
  return Promise.race([promise, chat.then(() => promise)]);
}

function exportOf(adapter: string, format: 'safetensors' | 'gguf' | 'peft', out: string): Extract<JobSpec, { kind: 'export' }> {
  return {
    ...{
      kind: 'export',
      model: { path: modelPath },
      adapters: [{ path: adapter, weight: 1 }],
      format,
      out: join(work, out),
      proof: true,
      cacheDir,
    },
    quantization: format === 'peft' ? null : 'f32',
  };
}

describe('with tokens, rows and a template of its own', () => {
  let adapter: string;
  const data = join(work, 'rows.jsonl');
  beforeAll(() => {
    adapter = adapterFolder({ tokens: true, template: true });
    writeFileSync(
      data,
      `${JSON.stringify({
        messages: [
          { role: 'user', content: 'Say it' },
          { role: 'assistant', content: 'A <|act|> b' },
        ],
      })}\n`,
    );
  });
  const note = /Tokenizer and chat template come from the adapter's folder/;

  it('a chat reads and writes them, and the base alone its own', async () => {
    const { promptTokens, notes } = await answers([adapter]);
    expect(promptTokens).toContain(384);
    expect(notes.join(' ')).toMatch(note);
    const alone = await answers([]);
    expect(alone.promptTokens).not.toContain(384);
    expect(alone.notes).toEqual([]);
  });

  it.each(['safetensors', 'gguf'] as const)('a merged %s has them, and the same loss', async (format) => {
    const spec = {
      kind: 'evaluate',
      model: { path: modelPath },
      data: { paths: [data] },
      adapterPath: adapter,
      cacheDir,
    } as const;
    const before = await runEvaluate(spec, port);
    expect(before.notes.join(' ')).toMatch(note);
    const { path, proof, notes } = await runExport(exportOf(adapter, format, `merged-${format}`), port);
    expect(proof?.checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(notes.join(' ')).toMatch(note);
    const merged = openModel(path);
    expect(merged.spec).toMatchObject({ vocabularySize: rows, tiedEmbeddings: true });
    const after = await runEvaluate({ ...spec, model: { path }, adapterPath: null }, port);
    expect(Math.abs(after.measures.loss!.value - before.measures.loss!.value)).toBeLessThan(1e-5);
    if (format === 'safetensors') {
      expect(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))).toMatchObject({ vocab_size: rows });
      expect(readFileSync(join(path, 'chat_template.jinja'), 'utf8')).toBe(template);
    } else expect(readGguf(path).metadata.get('tokenizer.ggml.tokens')!.value).toHaveLength(rows);
  });

  it('an export as an adapter, and a training that goes on from it, keep them', async () => {
    const { path } = await runExport(exportOf(adapter, 'peft', 'as-peft'), port);
    const out = join(work, 'run');
    const recipe = { ...defaultRecipe(), epochs: 1, maxSteps: 1, batchSize: 1 };
    const { adapterPath } = await runTrain(
      {
        ...{
          kind: 'train',
          model: { path: modelPath },
          recipe,
          out,
          resume: false,
          adapterPath: path,
          device: 'cpu',
          cacheDir,
        },
        ...{ data: { paths: [data] }, skipBadRows: false },
      } as Extract<JobSpec, { kind: 'train' }>,
      port,
    );
    for (const folder of [path, adapterPath]) {
      const { model } = openAdapted(openModel(modelPath), [{ path: folder, weight: 1 }]);
      expect(model.spec.vocabularySize).toBe(rows);
      expect(model.tokenizerFolder).toBe(folder);
    }
  });
});

it('a template alone is used with the model’s tokenizer, and said', async () => {
  const adapter = adapterFolder({ template: true });
  const { notes, promptTokens } = await answers([adapter]);
  expect(notes).toEqual([`The chat template comes from the adapter's folder, '${adapter}'.`]);
  expect(promptTokens.length).toBeGreaterThan((await answers([])).promptTokens.length);
  const { path } = await runExport(exportOf(adapter, 'safetensors', 'template-alone'), port);
  expect(readFileSync(join(path, 'chat_template.jinja'), 'utf8')).toBe(template);
  expect(readFileSync(join(path, 'tokenizer_config.json'), 'utf8')).toContain('<|plan|>');
  const gguf = await runExport(exportOf(adapter, 'gguf', 'template-alone.gguf'), port);
  expect(readGguf(gguf.path).metadata.get('tokenizer.chat_template')!.value).toBe(template);
});

it('what is the model’s own is not mentioned, however it is written', () => {
  const adapter = adapterFolder({});
  for (const name of ['tokenizer_config.json', 'chat_template.jinja']) cpSync(join(modelPath, name), join(adapter, name));
  const json = JSON.parse(readFileSync(join(modelPath, 'tokenizer.json'), 'utf8')) as object;
  const padded = { ...json, padding: { strategy: 'BatchLongest' }, truncation: { max_length: 512 } };
  writeFileSync(join(adapter, 'tokenizer.json'), JSON.stringify(padded, null, 2));
  const { model, notes } = openAdapted(openModel(modelPath), [{ path: adapter, weight: 1 }]);
  expect(notes).toEqual([]);
  expect(model.tokenizerFolder).toBeNull();
});

it('tokens without their embeddings are refused with the numbers', () => {
  const adapter = adapterFolder({ tokens: true, embedding: false });
  expect(() => openAdapted(openModel(modelPath), [{ path: adapter, weight: 1 }])).toThrow(
    /has 387 tokens, and the embedding only 384 rows/,
  );
});

it('two adapters with different templates are refused together', () => {
  const adapters = [adapterFolder({ template: true }), adapterFolder({ template: true })];
  writeFileSync(join(adapters[1]!, 'chat_template.jinja'), '{{ messages[0].content }}');
  const given = adapters.map((path) => ({ path, weight: 0.5 }));
  expect(() => openAdapted(openModel(modelPath), given)).toThrow(/different tokenizers or chat templates/);
});

it.each(['model', 'model.gguf'])('copies that are not the base’s count in every job alike, on %s', async (base) => {
  const golden = join(import.meta.dirname, '../golden', base === 'model' ? 'lora-head-embed' : 'llama-tied');
  const path = join(golden, base);
  const model = openModel(path);
  const adapter = mkdtempSync(join(work, 'copies-'));
  cpSync(join(golden, 'adapter/adapter_config.json'), join(adapter, 'adapter_config.json'));
  const file = join(golden, 'adapter/adapter_model.safetensors');
  const factors = [...readSafetensors(file).tensors.values()]
    .filter(({ name }) => !/(base_layer|embed_tokens|lm_head)\.weight$/.test(name))
    .map((tensor) => ({ ...tensor, values: readSafetensorsFloat32(file, tensor) }));
  const name = 'model.embed_tokens.weight';
  const values = model.weights.read(name).map((value, i) => value + Math.sin(i) / 5);
  const key = base === 'model' ? name.replace('.weight', '.base_layer.weight') : name;
  const stored = [...factors, { name: `base_model.model.${key}`, shape: model.weights.shape(name), values }];
  const writer = new SafetensorsWriter(
    join(adapter, 'adapter_model.safetensors'),
    stored.map((tensor) => ({ name: tensor.name, shape: tensor.shape, type: 'F32' })),
  );
  for (const tensor of stored) writer.write(tensor.values);
  writer.finish();
  const data = { paths: [join(golden, 'rows.jsonl')] };
  const spec = { kind: 'evaluate', model: { path }, data, adapterPath: adapter, cacheDir } as const;
  const own = await runEvaluate(spec, port);
  const merged = await runExport(
    { ...exportOf(adapter, 'safetensors', `copies-${base}`), model: { path }, rows: { data } },
    port,
  );
  expect(merged.proof).toMatchObject({ passed: true });
  const of = await runEvaluate({ ...spec, model: { path: merged.path }, adapterPath: null }, port);
  expect(Math.abs(of.measures.loss!.value - own.measures.loss!.value)).toBeLessThan(1e-5);
  const [together, alone] = [openAdapted(model, [{ path: adapter, weight: 1 }]), openAdapted(openModel(merged.path), [])];
  const logits = await Promise.all(
    [together, alone].map(async (opened) => {
      const session = await GenerationSession.open(opened.model, { threads: 1, cacheDir, openSession });
      await session.useAdapters(opened.adapters);
      const found = await session.feed([5, 6, 7, 8]);
      await session.release();
      return found;
    }),
  );
  logits[0]!.forEach((value, i) => expect(Math.abs(value - logits[1]![i]!)).toBeLessThan(2e-5));
});

it('what opening the model had to say is said by every job', async () => {
  const folder = mkdtempSync(join(work, 'noted-'));
  cpSync(modelPath, folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, auto_map: { AutoModel: 'own.Model' } }));
  writeFileSync(join(folder, 'adapter_config.json'), '{}');
  const data = join(work, 'plain.jsonl');
  writeFileSync(data, `${JSON.stringify({ text: 'A lemon is yellow.' })}\n`);
  const adapter = adapterFolder({});
  const given = { model: { path: folder }, data: { paths: [data] }, cacheDir } as const;
  messages.length = 0;
  await runTrain(
    {
      ...{ ...given, kind: 'train', recipe: { maxSteps: 1 }, out: join(work, 'noted-run'), resume: false },
      ...{ adapterPath: null, device: 'cpu', skipBadRows: false },
    },
    port,
  );
  const said = [
    (await answers([], folder)).notes,
    (await runEvaluate({ ...given, kind: 'evaluate', adapterPath: null }, port)).notes,
    (await runExport({ ...exportOf(adapter, 'safetensors', 'noted'), model: { path: folder }, proof: false }, port)).notes,
    saidIn(join(work, 'noted-run')),
  ];
  for (const notes of said) expect(notes.join()).toContain('(auto_map)');
  for (const notes of said) expect(notes.join()).toContain('(adapter_config.json)');
});
