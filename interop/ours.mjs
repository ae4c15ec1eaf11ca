/**
 * Asks our own engine: it writes exports, and says token ids, and the logits and answers by which the other programs are
 * judged.
 */
import { readAdapter } from '../engine/adapters/folder.ts';
import { openTemplate } from '../engine/data/template.ts';
import { openTokenizer } from '../engine/data/tokenizer.ts';
import { GenerationSession } from '../engine/decoder/generation.ts';
import { OnnxRunner } from '../engine/export/onnx/run.ts';
import { runExport } from '../engine/jobs/export.ts';
import { openModel } from '../engine/models/open.ts';
import { cpuThreads } from '../engine/runtime/devices.ts';
import { openSession } from '../engine/runtime/session.ts';
import { argmax } from './compare.mjs';

const threads = cpuThreads();

/** Digits, scripts, white space, code: where tokenizers differ. Characters are composed, because a GGUF cannot say otherwise. */
const texts = [
  'Hello, world!',
  'What is 12345 + 678? x1y22z333',
  "We're sure: it's HTTPServer's iPhone, they'LL say",
  'Søren Dahl, São Paulo: 3 tent pegs, 53.99 EUR',
  '{"name": "Søren", "total": 53.99, "tags": ["a", "b"]}',
  'こんにちは 👋🏽 مرحبا Привет 你好 ¡olé! Ⅻ ½ x² ١٢٣',
  'two  spaces   three\n\n1. first\n\n\n2.\tsecond \n \n end ',
  'def double(x):\n    return 2 * x  # twice\r\n\tdone',
];

/** @type {import('../engine/contract.ts').ChatMessage[]} */
const conversation = [
  { role: 'user', content: 'What is the name of the 2nd item? It was 53.99 EUR.' },
  { role: 'assistant', content: 'The name of item 2 is "Søren".' },
  { role: 'user', content: 'And the first? Привет!' },
];

export const port = { send() {}, stopRequested: false, onRequest() {}, untilStopped: () => new Promise(() => {}) };

/**
 * Writes an export. Without an `adapter` it is the model alone.
 * @param {{ model: string, adapter?: string | null, format: any, quantization: any, out: string, cacheDir: string,
 *   importance?: string[] }} order
 */
export async function writeExport({ model, adapter = null, format, quantization, out, cacheDir, importance = [] }) {
  const { refused } = await runExport(
    {
      adapters: adapter === null ? [] : [{ path: adapter, weight: 1 }],
      ...{ kind: 'export', model: { path: model }, format, quantization, out, cacheDir },
      ...{ proof: false, importance: { data: { paths: importance } } },
    },
    port,
  );
  if (refused !== null) throw new Error(refused.message);
}

/**
 * Returns texts, the special tokens of the model among them, and a conversation as its template writes it, with our token ids.
 */
export async function readTexts(modelPath) {
  const tokenizer = tokenizerOf(modelPath);
  const special = [...Array(tokenizer.vocabularySize).keys()].filter((id) => tokenizer.isSpecial(id));
  const named = await Promise.all(special.slice(0, 8).map((id) => tokenizer.decode([id])));
  const rendered = openTemplate(tokenizer).render(conversation, { addGenerationPrompt: true });
  const all = [...texts, `${named.join('x')} then ${named.join('')}12\n`, rendered];
  const ids = [];
  for (const text of all) ids.push(await tokenizer.encode(text));
  const { bos, eos, addBos, addEos, stopTokens } = tokenizer;
  return { ...{ texts: all, ids, conversation, rendered, prompt: ids.at(-1) }, ends: { bos, eos, addBos, addEos, stopTokens } };
}

/** Returns conversations as a model reads them, each with its question alone too. */
export async function readRows(modelPath, rows) {
  const tokenizer = tokenizerOf(modelPath);
  const template = openTemplate(tokenizer);
  const read = async ({ messages }) => ({
    whole: await tokenizer.encode(template.render(messages, { addGenerationPrompt: false })),
    question: await tokenizer.encode(template.render(messages.slice(0, -1), { addGenerationPrompt: true })),
    expected: messages.at(-1).content,
  });
  return Promise.all(rows.map(read));
}

export function textOf(modelPath, tokens) {
  return tokenizerOf(modelPath).decode(tokens, { skipSpecial: true });
}

/** Returns a prompt with our greedy answer, `count` tokens long, and the logits after every token of both but the last. */
export function answerTo(modelPath, adapterPath, prompt, count, cacheDir) {
  return withSession(modelPath, adapterPath, cacheDir, async (session) => {
    const tokens = [...prompt];
    const logits = [];
    for (let t = 0; t < prompt.length + count - 1; t++) {
      logits.push(Float32Array.from(await session.feed([tokens[t]])));
      if (t + 1 >= prompt.length) tokens.push(argmax(logits[t]));
    }
    return { tokens, logits, promptLength: prompt.length };
  });
}

/**
 * Returns our logits of an exported model, after every token but the last. `quantization` and `model`, its base, are asked for ONNX only.
 * @param {{ path: string, format: string, quantization?: any, model?: any }} exported
 */
export async function logitsOf({ path, format, quantization, model }, tokens, cacheDir) {
  const fed = tokens.slice(0, -1);
  if (format !== 'onnx')
    return withSession(path, null, cacheDir, async (session) => {
      const logits = [];
      for (const token of fed) logits.push(Float32Array.from(await session.feed([token])));
      return logits;
    });
  const opened = openModel(model);
  const { vocabularySize } = opened.spec;
  const run = await OnnxRunner.open(path, quantization, opened, [], { threads, openSession });
  try {
    const all = await run.logits(Int32Array.from(fed), [...fed.keys()]);
    return fed.map((_, t) => all.subarray(t * vocabularySize, (t + 1) * vocabularySize));
  } finally {
    await run.release();
  }
}

function tokenizerOf(modelPath) {
  const { tokenizerSource } = openModel(modelPath);
  if (tokenizerSource === null) throw new Error(`${modelPath} has no tokenizer`);
  return openTokenizer(tokenizerSource);
}

async function withSession(modelPath, adapterPath, cacheDir, use) {
  const model = openModel(modelPath);
  const session = await GenerationSession.open(model, { threads, cacheDir, openSession });
  try {
    if (adapterPath !== null) await session.useAdapters([{ adapter: readAdapter(adapterPath, model), weight: 1 }]);
    return await use(session);
  } finally {
    await session.release();
  }
}
