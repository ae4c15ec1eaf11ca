/**
 * Makes `resources/tiny/model`: a Llama of two blocks for fast tests, with its own tokenizer and chat template, taught a handful of
 * facts by the studio's own training (adapters of full rank on every linear layer, then merged). Embeddings and norms stay as drawn.
 *
 *     node resources/tiny/make-tiny.ts
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JobMessage } from '../../engine/contract.ts';
import { openTokenizer } from '../../engine/data/tokenizer.ts';
import type { GgufValue } from '../../engine/formats/gguf.ts';
import { SafetensorsWriter, type SafetensorsPlan } from '../../engine/formats/safetensors.ts';
import { runExport } from '../../engine/jobs/export.ts';
import type { JobPort } from '../../engine/jobs/port.ts';
import { runTrain } from '../../engine/jobs/train.ts';
import { specFromConfig } from '../../engine/models/families/index.ts';
import { modelTensors } from '../../engine/models/spec.ts';
import { fillUniform } from '../../engine/random.ts';

const here = dirname(fileURLToPath(import.meta.url));
const seed = 1;
const vocabularySize = 384;
const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  hidden_act: 'silu',
  vocab_size: vocabularySize,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  rope_theta: 10000,
  rope_scaling: null,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  torch_dtype: 'float32',
};
const spec = specFromConfig(config, 'config.json');

// ── What it is taught ───────────────────────────────────────────────────────────────────────────────────────────────────

const colours: Record<string, readonly string[]> = {
  red: ['a cherry', 'a tomato', 'a fire engine'],
  yellow: ['a lemon', 'a banana', 'the sun'],
  green: ['the grass', 'a leaf', 'a frog'],
  blue: ['the sky', 'the sea', 'a cornflower'],
  white: ['the snow', 'milk', 'a swan'],
  black: ['coal', 'a raven', 'the night'],
};
const numbers = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

function conversations(): [question: string, answer: string][] {
  const pairs: [string, string][] = [];
  for (const [colour, things] of Object.entries(colours)) {
    for (const thing of things) {
      const subject = thing[0]!.toUpperCase() + thing.slice(1);
      pairs.push(
        [`What colour is ${thing}?`, `${subject} is ${colour}.`],
        [`Is ${thing} ${colour}?`, `Yes, ${thing} is ${colour}.`],
      );
    }
  }
  for (let i = 0; i < 10; i++)
    pairs.push(
      [`What comes after ${numbers[i]}?`, `After ${numbers[i]} comes ${numbers[i + 1]}.`],
      [`Write ${i}.`, `${numbers[i]}`],
    );
  pairs.push(
    ['Hello!', 'Hello, how can I help?'],
    ['Who are you?', 'I am a very small model.'],
    ['Thank you.', 'You are welcome.'],
  );
  return pairs;
}

// ── Tokenizer: byte-level BPE ───────────────────────────────────────────────────────────────────────────────────────────

const special = ['<|pad|>', '<|bos|>', '<|end|>', '<|system|>', '<|user|>', '<|assistant|>', '<|tool|>'];
const chatTemplate =
  "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";

/** GPT-2's printable stand-in of every byte, in the order of its vocabulary: printable bytes first. */
function byteAlphabet(): { readonly ordered: readonly string[]; readonly ofByte: readonly string[] } {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  const ofByte = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
  return { ordered: [...ofByte].sort(), ofByte };
}

/** Learns merges from `corpus`: the most frequent pair first, the earlier in the alphabet on a tie. */
function learnMerges(corpus: string, count: number): [string, string][] {
  const { ofByte } = byteAlphabet();
  const pattern = /\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
  const frequency = new Map<string, number>();
  for (const [word] of corpus.matchAll(pattern)) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const words = [...frequency].map(([word, times]) => ({
    times,
    pieces: Array.from(new TextEncoder().encode(word), (byte) => ofByte[byte]!),
  }));
  const merges: [string, string][] = [];
  while (merges.length < count) {
    const pairs = new Map<string, number>();
    for (const { pieces, times } of words)
      for (let i = 0; i + 1 < pieces.length; i++) {
        const pair = `${pieces[i]} ${pieces[i + 1]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + times);
      }
    const [best] = [...pairs].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0]!;
    const [left, right] = best.split(' ') as [string, string];
    merges.push([left, right]);
    for (const { pieces } of words)
      for (let i = 0; i + 1 < pieces.length; i++)
        if (pieces[i] === left && pieces[i + 1] === right) pieces.splice(i, 2, left + right);
  }
  return merges;
}

function makeTokenizer(corpus: string) {
  const { ordered } = byteAlphabet();
  const merges = learnMerges(corpus, vocabularySize - special.length - ordered.length);
  const tokens = [...special, ...ordered, ...merges.map((pair) => pair.join(''))];
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const id = (token: string): GgufValue => ({ type: 'uint32', value: tokens.indexOf(token) });
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('smollm')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: tokens.map((_, i) => (i < special.length ? 3 : 1)) }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges.map((pair) => pair.join(' ')) }],
    ['tokenizer.ggml.bos_token_id', id('<|bos|>')],
    ['tokenizer.ggml.eos_token_id', id('<|end|>')],
    ['tokenizer.ggml.padding_token_id', id('<|pad|>')],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.chat_template', text(chatTemplate)],
  ]);
  return openTokenizer({ kind: 'gguf', metadata });
}

// ── Weights ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

function writeRandomWeights(path: string): void {
  // Norms are 1. Rows of the embedding have norm 2: with a normed output of norm 8 the tied head can reach logits of 16.
  const tensors = modelTensors(spec).map(({ name, role, shape }) => ({
    name,
    shape,
    deviation: shape.length === 1 ? null : role === 'token_embd' ? 0.25 : 0.5 / Math.sqrt(shape[1]!),
  }));
  const plan: SafetensorsPlan[] = tensors.map(({ name, shape }) => ({ name, shape, type: 'F32' }));
  const writer = new SafetensorsWriter(path, plan);
  for (const { name, shape, deviation } of tensors) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1);
    // A uniform distribution of limit l has the deviation l / sqrt 3.
    if (deviation !== null) fillUniform(values, deviation * Math.sqrt(3), seed, name);
    writer.write(values);
  }
  writer.finish();
}

// ── All of it ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const port: JobPort = {
  send: (message: JobMessage) => {
    if (message.type === 'progress')
      console.log(`${message.progress.phase}: ${message.progress.done} of ${message.progress.total}`);
  },
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => Promise.resolve(),
};

const work = mkdtempSync(join(tmpdir(), 'tiny-'));
try {
  const rows = conversations().map(([question, answer]) => ({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  }));
  const data = join(work, 'rows.jsonl');
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const orders = readFileSync(join(here, '../samples/json-orders/train.jsonl'), 'utf8').trim().split('\n');
  const messages = [...rows, ...orders.map((line) => JSON.parse(line) as (typeof rows)[number])].flatMap((row) => row.messages);

  const base = join(work, 'base');
  mkdirSync(base);
  const files = makeTokenizer(messages.map((message) => message.content).join('\n')).toHubFiles();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(base, name), text);
  writeFileSync(join(base, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  writeRandomWeights(join(base, 'model.safetensors'));

  const out = join(work, 'run');
  const cacheDir = join(work, 'cache');
  const recipe = {
    rank: spec.hiddenSize,
    alpha: spec.hiddenSize,
    learningRate: 4e-3,
    warmupSteps: 20,
    maxSteps: 400,
    batchSize: 16,
    maxLength: 128,
    evalEvery: 0,
    saveEvery: 0,
    seed,
  };
  const common = { data: { paths: [data] }, adapterPath: null, skipBadRows: false, resume: false } as const;
  const run = await runTrain({ kind: 'train', model: { path: base }, recipe, out, device: 'auto', cacheDir, ...common }, port);
  const target = join(here, 'model');
  rmSync(target, { recursive: true, force: true });
  const adapters = [{ path: run.adapterPath, weight: 1 }];
  const merge = { kind: 'export', format: 'safetensors', quantization: 'f32', proof: false } as const;
  const merged = await runExport({ ...merge, model: { path: base }, adapters, out: target, cacheDir }, port);
  console.log(`${merged.path}: ${merged.bytes} bytes`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
