import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { GgufWriter, readGguf, readGgufFloat32 } from '../formats/gguf.ts';
import { readSafetensors, readSafetensorsFloat32, SafetensorsWriter } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import { openModel } from './open.ts';
import { ropeInverseFrequencies } from './rope.ts';
import type { DenseLocation } from './weights.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'models-'));
afterAll(() => rmSync(root, { recursive: true }));

it('is called after what tells it from others, in the cache of a hub too', () => {
  expect(openModel(join(golden, 'llama-tied/model')).info.name).toBe('llama-tied');
  const cached = join(root, 'models--someone--Tiny-1B', 'snapshots', '0123456789abcdef'.repeat(3).slice(0, 40));
  cpSync(join(golden, 'llama-tied/model'), cached, { recursive: true });
  expect(openModel(cached).info.name).toBe('Tiny-1B');
});

it('expands weights anew when a file is replaced by one of equal size and time', async () => {
  const folder = join(root, 'replaced');
  cpSync(join(golden, 'gpt2/model'), folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  utimesSync(path, 1000, 1000);
  const expanded = async () => {
    const locations = await openModel(folder).weights.files(join(root, 'expanded'));
    const paths = [...locations.values()].map((location) => (location as DenseLocation).path);
    return paths.find((place) => place !== path)!;
  };
  const before = await expanded();
  expect(await expanded()).toBe(before);
  // The system's clock for files goes in steps of some milliseconds.
  await new Promise((done) => setTimeout(done, 30));
  const content = readFileSync(path);
  content.fill(0, content.length - 4000);
  writeFileSync(path, content);
  utimesSync(path, 1000, 1000);
  expect(await expanded()).not.toBe(before);
});

describe('one model in two formats', () => {
  it.each(['llama-tied', 'llama3-rope', 'qwen2', 'qwen3', 'phi3', 'granite', 'smollm3'])(
    '%s: the GGUF has the same tensors and frequencies as the hub folder',
    (name) => {
      const hub = openModel(join(golden, name, 'model'));
      const gguf = openModel(join(golden, name, 'model.gguf'));
      expect(gguf.weights.names).toEqual(hub.weights.names);
      for (const tensor of hub.weights.names) expect(gguf.weights.read(tensor), tensor).toEqual(hub.weights.read(tensor));
      const { ropes: hubRopes, ...hubSpec } = hub.spec;
      const { ropes: ggufRopes, ...ggufSpec } = gguf.spec;
      expect(ggufSpec).toEqual(hubSpec);
      const expected = ropeInverseFrequencies(hubRopes[0]!, 0);
      ropeInverseFrequencies(ggufRopes[0]!, 0).forEach((frequency, i) => expect(frequency / expected[i]!).toBeCloseTo(1, 6));
      expect(hub.hash).toMatch(/^[0-9a-f]{64}$/);
    },
  );

  it.each(['model', 'model.gguf'])('float32 files of %s hold what read gives', async (name) => {
    const model = openModel(join(golden, 'llama-tied', name));
    const files = await model.weights.files(join(root, 'cache'));
    for (const tensor of model.weights.names) {
      const { path, offset, length, shape } = files.get(tensor) as DenseLocation;
      const bytes = Uint8Array.from(readFileSync(path).subarray(offset, offset + length));
      expect(new Float32Array(bytes.buffer)).toEqual(model.weights.read(tensor));
      expect(shape).toEqual(model.weights.shape(tensor));
    }
    const inPlace = [...files.values()].filter((location) => 'path' in location && location.path.startsWith(golden)).length;
    expect(inPlace).toBe(name === 'model' ? files.size : files.size - 4);
    expect(await model.weights.files(join(root, 'cache'))).toEqual(files);
  });
});

it('shards are one model, and a missing one is named', () => {
  const folder = join(root, 'sharded');
  cpSync(join(golden, 'llama-tied/model'), folder, { recursive: true });
  const source = join(folder, 'model.safetensors');
  const tensors = [...readSafetensors(source).tensors.values()];
  const weightMap: Record<string, string> = {};
  for (const part of [0, 1]) {
    const mine = tensors.filter((_, i) => i % 2 === part);
    const shard = `model-0000${part + 1}-of-00002.safetensors`;
    const writer = new SafetensorsWriter(
      join(folder, shard),
      mine.map(({ name, shape }) => ({ name, shape, type: 'F32' })),
    );
    for (const tensor of mine) {
      writer.write(readSafetensorsFloat32(source, tensor));
      weightMap[tensor.name] = shard;
    }
    writer.finish();
  }
  rmSync(source);
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
  const whole = openModel(join(golden, 'llama-tied/model'));
  const sharded = openModel(folder);
  for (const name of whole.weights.names) expect(sharded.weights.read(name)).toEqual(whole.weights.read(name));
  rmSync(join(folder, 'model-00002-of-00002.safetensors'));
  expect(() => openModel(folder)).toThrow(/lacks the shard 'model-00002-of-00002.safetensors'/);
});

describe('a head that the config ties to the embedding', () => {
  const original = join(golden, 'llama-tied/model');
  const embedding = 'model.embed_tokens.weight';
  /** The model with its embedding under these names, in the second place with other numbers. */
  function withTensors(name: string, places: Readonly<Record<string, number>>): string {
    const folder = join(root, `head-${name}`);
    cpSync(original, folder, { recursive: true });
    const source = join(original, 'model.safetensors');
    const stored = [...readSafetensors(source).tensors.values()].flatMap((tensor) => {
      const values = readSafetensorsFloat32(source, tensor);
      if (tensor.name !== embedding) return [{ ...tensor, values }];
      return Object.entries(places).map(([name, added]) => ({ ...tensor, name, values: values.map((x) => x + added) }));
    });
    const plan = stored.map(({ name, shape }) => ({ name, shape, type: 'F32' as const }));
    const writer = new SafetensorsWriter(join(folder, 'model.safetensors'), plan);
    for (const { values } of stored) writer.write(values);
    writer.finish();
    return folder;
  }

  it('is tied where both hold the same, or only the head is there', () => {
    const whole = openModel(original);
    for (const places of [{ [embedding]: 0, 'lm_head.weight': 0 }, { 'lm_head.weight': 0 }]) {
      const model = openModel(withTensors(Object.keys(places).join(), places));
      expect(model.spec).toEqual(whole.spec);
      expect(model.weights.names).toEqual(whole.weights.names);
      expect(model.weights.read(embedding)).toEqual(whole.weights.read(embedding));
    }
  });

  it('is its own where the file holds other numbers, and this is said', () => {
    const model = openModel(withTensors('other', { [embedding]: 0, 'lm_head.weight': 0.5 }));
    expect(model.spec.tiedEmbeddings).toBe(false);
    expect(model.weights.read('lm_head.weight')).toEqual(model.weights.read(embedding).map((x) => x + 0.5));
    expect(model.info.notes.join()).toContain("'lm_head.weight' holds other numbers");
  });
});

it.each(['chat_template.jinja', 'chat_template.json', 'tokenizer_config.json', 'generation_config.json', 'README.md'])(
  'refuses what stands in for %s',
  (name) => {
    const folder = mkdtempSync(join(root, 'stand-in-'));
    cpSync(join(import.meta.dirname, '../../resources/tiny/model'), folder, { recursive: true });
    const config = JSON.parse(readFileSync(join(folder, 'tokenizer_config.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ ...config, chat_template: undefined }));
    rmSync(join(folder, 'chat_template.jinja'), { force: true });
    for (const [text, words] of [
      ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n', /pointer of Git LFS/],
      ['<!DOCTYPE html><html></html>', /page of a web site/],
    ] as const) {
      writeFileSync(join(folder, name), text);
      expect(() => openModel(folder)).toThrow(words);
      expect(() => openModel(folder)).toThrow(join(folder, name));
    }
  },
);

describe('config.json', () => {
  const folder = join(root, 'config');
  const original = JSON.parse(readFileSync(join(golden, 'llama3-rope/model/config.json'), 'utf8')) as Record<string, unknown>;
  beforeEach(() => cpSync(join(golden, 'llama3-rope/model'), folder, { recursive: true }));
  const openWith = (change: Record<string, unknown>) => {
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...original, ...change }));
    return openModel(folder);
  };

  it('reads the newer form of the rotary embedding as the older one', () => {
    const older = openWith({});
    const newer = openWith({
      rope_theta: undefined,
      rope_scaling: undefined,
      rope_parameters: { rope_theta: 500000, ...(original['rope_scaling'] as object) },
    });
    expect(newer.spec).toEqual(older.spec);
    expect(openWith({ rope_scaling: { type: 'linear', factor: 2 } }).spec.ropes[0]!.scaling).toEqual({
      kind: 'linear',
      factor: 2,
    });
  });

  it.each<[string, Record<string, unknown>, string, RegExp]>([
    ['unknown family', { model_type: 'mamba' }, 'model-unsupported', /'mamba'/],
    ['no family', { model_type: undefined }, 'config-invalid', /model_type/],
    ['unknown field', { logit_softcap: 30 }, 'field-unknown', /'logit_softcap'/],
    [
      'unknown field of the rotary embedding',
      { rope_scaling: { rope_type: 'linear', factor: 2, x: 1 } },
      'field-unknown',
      /'rope_scaling.x'/,
    ],
    ['unknown rotary scaling', { rope_scaling: { rope_type: 'spiral', factor: 2 } }, 'model-unsupported', /"spiral"/],
    ['other activation', { hidden_act: 'mish' }, 'model-unsupported', /mish/],
    ['absurd size', { hidden_size: 1e15 }, 'config-invalid', /hidden size/],
    ['absurd number of layers', { num_hidden_layers: 1e9 }, 'config-invalid', /layers/],
    ['negative size', { vocab_size: -1 }, 'config-invalid', /vocab_size/],
    ['no number', { hidden_size: '32' }, 'config-invalid', /hidden_size/],
    ['heads that do not divide', { num_key_value_heads: 3 }, 'config-invalid', /share/],
    ['another shape', { intermediate_size: 64 }, 'tensor-shape', /gate_proj.*\[56, 32\]/],
    ['more layers than tensors', { num_hidden_layers: 3 }, 'tensor-missing', /model\.layers\.2/],
    ['fewer layers than tensors', { num_hidden_layers: 1 }, 'model-unsupported', /model\.layers\.1/],
    ['biases that are not there', { attention_bias: true }, 'tensor-missing', /q_proj\.bias/],
    ['quantized', { quantization_config: { bits: 4 } }, 'format-unsupported', /quantization_config/],
  ])('refuses: %s', (_, change, code, message) => {
    let problem: unknown;
    try {
      openWith(change);
    } catch (error) {
      problem = error;
    }
    expect(problem).toBeInstanceOf(Problem);
    expect((problem as Problem).code).toBe(code);
    expect((problem as Problem).message).toMatch(message);
    expect((problem as Problem).message).toContain(folder);
  });

  it('refuses what is no JSON, no model and no folder', () => {
    writeFileSync(join(folder, 'config.json'), '{"model_type": ');
    expect(() => openModel(folder)).toThrow(/is not JSON/);
    rmSync(join(folder, 'config.json'));
    expect(() => openModel(folder)).toThrow(/has no config.json/);
    expect(() => openModel(join(golden, 'llama-tied/adapter'))).toThrow(/is an adapter/);
    expect(() => openModel(join(golden, 'llama-tied/rows.jsonl'))).toThrow(/neither a model folder nor a GGUF/);
    expect(() => openModel(join(root, 'nowhere'))).toThrow(/no model at/);
  });

  it('refuses truncated weights', () => {
    const path = join(folder, 'model.safetensors');
    truncateSync(path, statSync(path).size - 10);
    expect(() => openWith({})).toThrow(/outside its .* bytes of data/);
  });
});

describe('GGUF metadata', () => {
  const source = join(golden, 'llama-tied/model.gguf');
  const file = readGguf(source);
  function rewrite(change: (metadata: Map<string, unknown>) => void, without = ''): string {
    const path = join(root, 'changed.gguf');
    const metadata = new Map(file.metadata);
    change(metadata);
    const tensors = [...file.tensors.values()].filter(({ name }) => name !== without);
    const writer = new GgufWriter(
      path,
      metadata,
      tensors.map(({ name, shape }) => ({ name, shape, type: 'F32' })),
    );
    for (const tensor of tensors) writer.write(readGgufFloat32(source, tensor));
    writer.finish();
    return path;
  }

  it.each<[string, (metadata: Map<string, unknown>) => void, RegExp]>([
    ['another architecture', (m) => m.set('general.architecture', { type: 'string', value: 'rwkv' }), /'rwkv'/],
    ['no architecture', (m) => m.delete('general.architecture'), /general.architecture/],
    ['no size', (m) => m.delete('llama.embedding_length'), /embedding_length' is missing/],
    ['experts', (m) => m.set('llama.expert_count', { type: 'uint32', value: 8 }), /expert_count/],
    ['unknown key', (m) => m.set('llama.attention.sinks', { type: 'uint32', value: 8 }), /'llama.attention.sinks'/],
    ['absurd size', (m) => m.set('llama.block_count', { type: 'uint32', value: 4e9 }), /block_count' is 4000000000/],
  ])('refuses: %s', (_, change, message) => {
    expect(() => openModel(rewrite(change))).toThrow(message);
    expect(() => openModel(rewrite(change))).toThrow(Problem);
  });

  it('names a missing tensor', () => {
    expect(() => openModel(rewrite(() => {}, 'blk.1.ffn_up.weight'))).toThrow(/blk\.1\.ffn_up\.weight/);
  });
});
