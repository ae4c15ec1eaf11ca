/**
 * llama.cpp reads our GGUF exports of SmolLM2 with a trained adapter: the same token ids and the same greedy answer as ours. Our own
 * reader could share a mistake with our writer; llama.cpp cannot.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getLlama } from 'node-llama-cpp';
import { openTokenizer } from '../engine/data/tokenizer.ts';
import { generate } from '../engine/evaluate/generate.ts';
import { runExport } from '../engine/jobs/export.ts';
import { GenerationSession } from '../engine/models/generation.ts';
import { openModel } from '../engine/models/open.ts';
import { cpuThreads } from '../engine/runtime/devices.ts';
import { openSession } from '../engine/runtime/session.ts';
import { readAdapter } from '../engine/training/lora/folder.ts';

const root = join(import.meta.dirname, '..');
const modelPath = join(root, 'resources/models/SmolLM2-135M-Instruct.Q4_1.gguf');
const golden = join(root, 'engine/golden/smollm2-json');
const adapterPath = join(golden, 'trained');
const work = mkdtempSync(join(tmpdir(), 'interop-'));
const cacheDir = join(work, 'cache');
const threads = cpuThreads();
/** llama.cpp's threads spin while they wait for each other: with one for every core, another busy process makes it crawl. */
const llamaThreads = Math.max(1, Math.floor(threads / 2));

/** Specials, digits, scripts, white space, code: where tokenizers differ. */
const texts = [
  'Hello, world!',
  '<|im_start|>user\nWhat is 12345 + 678?<|im_end|>\n<|im_start|>assistant\n',
  'Søren Dahl, São Paulo: 3 tent pegs, 53.99 EUR',
  '{"name": "Søren", "total": 53.99, "tags": ["a", "b"]}',
  'こんにちは 👋🏽 مرحبا Привет',
  "  two spaces\n\n1. first\n\n\n2.\tsecond, it's they'll",
  'def double(x):\n    return 2 * x  # ²½\n',
  '<|endoftext|>x<|im_end|>',
];

const port = { send() {}, stopRequested: false, onRequest() {}, untilStopped: () => new Promise(() => {}) };
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: llamaThreads, progressLogs: false });

try {
  const { greedy_after: expected } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8'));
  const ours = await ourAnswer(expected.prompt, expected.tokens.length);
  assert.deepEqual(ours, expected.tokens, 'our greedy answer is the reference answer');

  const fromGguf = join(work, 'trained-F16.gguf');
  await exported(modelPath, adapterPath, 'gguf', 'f16', fromGguf);
  await compare('f16 GGUF of the GGUF', fromGguf, expected.prompt, ours);

  // Through a hub folder, so that the tokenizer is written from tokenizer.json and the metadata from config.json.
  const folder = join(work, 'merged');
  await exported(modelPath, adapterPath, 'safetensors', 'f16', folder);
  const fromHub = join(work, 'from-hub-F16.gguf');
  await exported(folder, null, 'gguf', 'f16', fromHub);
  await compare('f16 GGUF of the hub folder', fromHub, expected.prompt, ours);
  console.log('2 passed, 0 failed');
} finally {
  await llama.dispose();
  rmSync(work, { recursive: true, force: true });
}

async function exported(model, adapter, format, quantization, out) {
  await runExport(
    {
      kind: 'export',
      modelPath: model,
      adapterPath: adapter,
      format,
      quantization,
      out,
      proof: false,
      dataPaths: [],
      importancePaths: [],
      cacheDir,
    },
    port,
  );
}

/** Base + adapter in our own engine, greedy. */
async function ourAnswer(promptTokens, maxTokens) {
  const model = openModel(modelPath);
  const session = await GenerationSession.open(model, { threads, cacheDir, openSession });
  await session.useAdapters([{ adapter: readAdapter(adapterPath, model.spec), weight: 1 }]);
  const settings = { maxTokens, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: true };
  const { tokens } = await generate(session, {
    promptTokens,
    settings,
    contextLength: model.spec.contextLength,
    tokenizer: null,
  });
  await session.release();
  return [...tokens];
}

async function compare(name, path, prompt, answer) {
  const tokenizer = openTokenizer(openModel(modelPath).tokenizerSource);
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  try {
    for (const text of texts)
      assert.deepEqual(model.tokenize(text, true), await tokenizer.encode(text), `${name}: tokens of ${text}`);
    const context = await model.createContext({
      contextSize: 512,
      sequences: 1,
      threads: { ideal: llamaThreads, min: llamaThreads },
    });
    const sequence = context.getSequence();
    const tokens = [];
    // Temperature 0 is greedy; the end of turn is part of the answer.
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
      tokens.push(token);
      if (tokens.length === answer.length) break;
    }
    await context.dispose();
    assert.deepEqual(tokens, answer, `${name}: greedy answer`);
  } finally {
    await model.dispose();
  }
  console.log(`passed  ${name}: ${texts.length} texts, ${answer.length} greedy tokens`);
}
