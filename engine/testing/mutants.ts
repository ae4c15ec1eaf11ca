/** Gives every reader of a stranger's file files that were changed at random, and holds it to bounds of time and memory. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect } from 'vitest';
import { contentOf, detectFormat } from '../data/content.ts';
import { readRecords } from '../data/readers/index.ts';
import { openTemplate } from '../data/template.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { readManifest, writeManifest } from '../export/manifest.ts';
import { readOnnxAdapter, writeOnnxAdapter } from '../formats/onnx-adapter.ts';
import { openModel } from '../models/open.ts';
import { Problem, toProblemValue } from '../problem.ts';
import { newestCheckpoint } from '../training/checkpoint.ts';
import { readAdapter } from '../adapters/folder.ts';
import { runInspect } from '../jobs/inspect.ts';
import { readRunFolder } from '../jobs/run-folder.ts';
import { silentPort } from './port.ts';
import { zip } from './zip.ts';

const golden = join(import.meta.dirname, '../golden');
const tiny = join(import.meta.dirname, '../../resources/tiny/model');

/** Limits the processor time for one changed file, so that the load of the machine does not matter. */
const secondsEach = 5;
const bytesEach = 256 << 20;

interface Subject {
  /** Puts what is read into an empty folder. */
  readonly make: (folder: string) => void;
  /** Names the file in it that is changed. */
  readonly file: string;
  readonly read: (folder: string) => unknown;
}

const text = JSON.stringify;
const message = [{ role: 'user' as const, content: 'Hi' }];

const run = {
  version: 1,
  recipe: { rank: 8 },
  ...{ base: { path: '/m', hash: 'a' }, data: { paths: ['/d'], hash: 'b', rows: 3 }, totalSteps: 3, trainableParameters: 3 },
  evaluation: { rows: 3 },
};

const tokenizerIn = (folder: string): Tokenizer | null => tokenizerOf(openModel(folder));

const copy = (from: string) => (folder: string) => cpSync(from, folder, { recursive: true });
const model = join(golden, 'llama-tied/model');
const base = () => openModel(join(golden, 'lora-plus/model'));

export const subjects: Readonly<Record<string, Subject>> = {
  safetensors: { make: copy(model), file: 'model.safetensors', read: (folder) => openModel(folder).weights.names },
  'config.json': { make: copy(model), file: 'config.json', read: openModel },
  GGUF: {
    make: (folder) => cpSync(join(golden, 'llama-tied/model.gguf'), join(folder, 'model.gguf')),
    file: 'model.gguf',
    read: (folder) => openModel(join(folder, 'model.gguf')),
  },
  'the index of shards': {
    make(folder) {
      copy(model)(folder);
      cpSync(join(folder, 'model.safetensors'), join(folder, 'a.safetensors'));
      rmSync(join(folder, 'model.safetensors'));
      writeFileSync(join(folder, 'model.safetensors.index.json'), text({ metadata: {}, weight_map: { w: 'a.safetensors' } }));
    },
    file: 'model.safetensors.index.json',
    read: openModel,
  },
  'tokenizer.json': { make: copy(tiny), file: 'tokenizer.json', read: (folder) => tokenizerIn(folder)?.encode('Hello, you') },
  'tokenizer_config.json': {
    make: copy(tiny),
    file: 'tokenizer_config.json',
    read: (folder) => tokenizerIn(folder)?.stopTokens,
  },
  'a chat template': {
    make(folder) {
      writeFileSync(
        join(folder, 'chat_template.jinja'),
        "{% for m in messages %}{% if m.role == 'user' %}<{{ m['content'] | trim }}>{% endif %}{% endfor %}{{ range(3) | list }}",
      );
    },
    file: 'chat_template.jinja',
    read(folder) {
      const chatTemplate = readFileSync(join(folder, 'chat_template.jinja'), 'utf8');
      return openTemplate({ chatTemplate, bosText: '<s>', eosText: null }).render(message, { addGenerationPrompt: true });
    },
  },
  'adapter_config.json': {
    make: copy(join(golden, 'lora-plus/adapter')),
    file: 'adapter_config.json',
    read: (folder) => readAdapter(folder, base()),
  },
  'adapter_model.safetensors': {
    make: copy(join(golden, 'lora-plus/adapter')),
    file: 'adapter_model.safetensors',
    read: (folder) => readAdapter(folder, base()),
  },
  'rows in lines': {
    make(folder) {
      const rows = [{ messages: message }, { prompt: 'a', completion: 'b' }, { text: 'a' }, { tokens: [1, 2], labels: [1, 2] }];
      writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => text(row)).join('\n'));
    },
    file: 'rows.jsonl',
    read: (folder) => readAll(join(folder, 'rows.jsonl')),
  },
  'rows in a list': {
    make: (folder) => writeFileSync(join(folder, 'rows.json'), text([{ messages: message }, { text: 'a' }])),
    file: 'rows.json',
    read: (folder) => readAll(join(folder, 'rows.json')),
  },
  'rows between commas': {
    make: (folder) => writeFileSync(join(folder, 'rows.csv'), 'question,answer\n"a, b","say ""c"" d"\n"d\ne",f\n'.repeat(20)),
    file: 'rows.csv',
    read: (folder) => readAll(join(folder, 'rows.csv')),
  },
  'rows in an object': {
    make: (folder) => writeFileSync(join(folder, 'rows.json'), text({ info: { a: 1 }, data: [{ text: 'a' }, { text: 'b' }] })),
    file: 'rows.json',
    read: (folder) => readAll(join(folder, 'rows.json')),
  },
  'rows in gzip': {
    make: (folder) => writeFileSync(join(folder, 'rows.gz'), gzipSync('{"text": "a"}\n'.repeat(50))),
    file: 'rows.gz',
    read: (folder) => readAll(join(folder, 'rows.gz')),
  },
  'rows in Zstandard': {
    make: (folder) => writeFileSync(join(folder, 'rows.zst'), zstdCompressSync('{"text": "a"}\n'.repeat(50))),
    file: 'rows.zst',
    read: (folder) => readAll(join(folder, 'rows.zst')),
  },
  'rows in a ZIP archive': {
    make: (folder) => writeFileSync(join(folder, 'rows.zip'), zip({ 'rows.jsonl': Buffer.from('{"text": "a"}\n'.repeat(50)) })),
    file: 'rows.zip',
    read: (folder) => readAll(join(folder, 'rows.zip')),
  },
  'rows in UTF-16': {
    make: (folder) => writeFileSync(join(folder, 'rows.jsonl'), Buffer.from('\ufeff{"text": "a"}\n'.repeat(9), 'utf16le')),
    file: 'rows.jsonl',
    read: (folder) => readAll(join(folder, 'rows.jsonl')),
  },
  ...Object.fromEntries(
    ['plain', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4', 'encodings', 'types'].map((name) => [
      `Parquet (${name})`,
      {
        make: (folder: string) => cpSync(join(golden, 'parquet', `${name}.parquet`), join(folder, 'rows.parquet')),
        file: 'rows.parquet',
        read: (folder: string) => readAll(join(folder, 'rows.parquet')),
      },
    ]),
  ),
  'run.json': {
    make: (folder) => writeFileSync(join(folder, 'run.json'), text(run)),
    file: 'run.json',
    read: readRunFolder,
  },
  'state.json of a checkpoint': {
    make(folder) {
      const checkpoint = join(folder, 'step-000001');
      mkdirSync(checkpoint);
      writeFileSync(join(checkpoint, 'state.json'), text({ version: 2, step: 1, seconds: 1, updates: 1, plan: {}, files: [] }));
    },
    file: 'step-000001/state.json',
    read: newestCheckpoint,
  },
  'an ONNX adapter': {
    make(folder) {
      const parameter = { shape: [2, 3], values: new Float32Array(6) };
      writeOnnxAdapter(
        join(folder, 'adapter.onnx_adapter'),
        ['a', 'b'].map((name) => ({ name, ...parameter })),
      );
    },
    file: 'adapter.onnx_adapter',
    read: (folder) => readOnnxAdapter(join(folder, 'adapter.onnx_adapter')),
  },
  'lowrank.json': {
    make(folder) {
      const base = { name: 'm', hash: 'a', licence: null };
      writeManifest(folder, {
        ...{ version: 1, format: 'onnx', quantization: 'q8', proof: null, files: [{ name: 'a', bytes: 1, sha256: 'a' }] },
        lineage: { exportId: 'x', studio: '1', base, adapters: [], data: null },
      });
    },
    file: 'lowrank.json',
    read: (folder) =>
      readManifest(folder) === null ? null : runInspect({ kind: 'inspect', path: folder, acceptFields: [] }, silentPort),
  },
};

async function readAll(path: string): Promise<number> {
  let sound = 0;
  for await (const record of readRecords(path)) {
    if (!('value' in record)) continue;
    const format = detectFormat(record.value);
    try {
      if (format !== 'tokens') contentOf(record.value, format, null, new Set());
      sound++;
    } catch (error) {
      // One bad row is a row; what is no Problem is a fault.
      if (!(error instanceof Problem)) throw error;
    }
  }
  return sound;
}

// ── Changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Random = (below: number) => number;

/** Returns the generator Mulberry32, which yields the same numbers for the same seed everywhere. */
function randomOf(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((((mixed ^ (mixed >>> 14)) >>> 0) * below) / 2 ** 32) | 0;
  };
}

const ofBytes: readonly ((bytes: Buffer, random: Random) => Buffer)[] = [
  (bytes, random) => {
    // The header is where most is decided.
    const within = random(2) === 0 ? bytes.length : Math.min(bytes.length, 4096);
    for (let i = random(4); i >= 0; i--) bytes[random(within)]! ^= 1 << random(8);
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  (bytes, random) => {
    const [at, length] = [random(bytes.length), random(Math.min(bytes.length, 2000))];
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
  },
  (bytes, random) => {
    const huge = [0xffffffffffffffffn, 0x7fffffffffffffffn, 0x7fffffffn, 0xffffffffn, 1n << 40n, 0n][random(6)]!;
    if (bytes.length > 8) bytes.writeBigUInt64LE(huge, random(Math.min(bytes.length, 4096) - 8));
    return bytes;
  },
  (bytes, random) => {
    const at = random(bytes.length);
    const deep = ['[', '{"a":', '(', '{{ [', '"'][random(5)]!.repeat(10 ** (2 + random(4)));
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(deep), bytes.subarray(at)]);
  },
];

const strangeValues: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, 2 ** 53, '', 'x', '\u0000', '../../etc/passwd', [], {}, [null], [[]], { a: null }],
  ...['x'.repeat(1e6), Array.from({ length: 1e5 }, () => 1), nested(3000), '(a+)+$', '__proto__'],
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Gives one place in a JSON document a value of another kind, or takes it out. */
function withStrangeValue(json: unknown, random: Random): unknown {
  const replaced = random(20) === 0 ? undefined : strangeValues[random(strangeValues.length)];
  if (typeof json !== 'object' || json === null || random(5) === 0) return replaced;
  const keys = Object.keys(json);
  if (keys.length === 0) return replaced;
  const key = keys[random(keys.length)]!;
  const value = withStrangeValue((json as Record<string, unknown>)[key], random);
  if (Array.isArray(json)) return json.map((entry: unknown, i) => (String(i) === key ? value : entry));
  return { ...json, [key]: value };
}

function changed(bytes: Buffer, name: string, random: Random): Buffer {
  if (name.endsWith('.json') && random(4) !== 0)
    return Buffer.from(JSON.stringify(withStrangeValue(JSON.parse(bytes.toString()), random)) ?? '');
  return ofBytes[random(ofBytes.length)]!(Buffer.from(bytes), random);
}

/**
 * Reads many changed versions of a file, and expects for each a value or a `Problem` that is not a bug of ours, soon, and in
 * little memory.
 */
export async function expectBounded(name: string, mutants: number, seed = 1): Promise<void> {
  const { make, file, read } = subjects[name]!;
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  const bad: string[] = [];
  try {
    make(folder);
    const path = join(folder, file);
    expect(readdirSync(dirname(path)).length).toBeGreaterThan(0);
    const sound = readFileSync(path);
    expect(await outcome(() => read(folder)), 'the file as it was').toBeNull();
    for (let i = 0; i < mutants; i++) {
      writeFileSync(path, changed(sound, file, randomOf(seed * 1_000_003 + i)));
      const [started, before] = [cpuSeconds(), memory()];
      const what = await outcome(() => read(folder));
      const [seconds, bytes] = [cpuSeconds() - started, memory() - before];
      if (what !== null) bad.push(`seed ${seed}, ${i}: ${what}`);
      if (seconds > secondsEach) bad.push(`seed ${seed}, ${i}: ${seconds.toFixed(1)} s`);
      if (bytes > bytesEach) bad.push(`seed ${seed}, ${i}: ${Math.round(bytes / 1e6)} MB`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(bad).toEqual([]);
}

/** Returns what is wrong with how it ended, or null for nothing. */
async function outcome(work: () => unknown): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const { code, message } = toProblemValue(error);
    if (code === 'internal') return (error as Error).stack?.slice(0, 600) ?? message;
    return message.length + 1 > 5000 ? `a sentence of ${message.length} characters` : null;
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
