/** One adapter in every form it comes in: PEFT's, older and newer, mlx-lm's and llama.cpp's. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { GgufWriter, type GgufValue } from '../formats/gguf.ts';
import { SafetensorsWriter } from '../formats/safetensors.ts';
import { attentionOf } from '../models/mixers/index.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { tensorView, type Adapter } from './adapter.ts';
import { addDeltas, moduleWeight } from './delta.ts';
import { readAdapter } from './folder.ts';
import { targetModules } from './targets.ts';

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'foreign-'));
afterAll(() => rmSync(work, { recursive: true }));

interface Written {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

function writeSafetensors(path: string, tensors: readonly Written[]): void {
  const writer = new SafetensorsWriter(
    path,
    tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape })),
  );
  for (const { values } of tensors) writer.write(values);
  writer.finish();
}

function turned(values: Float32Array, rows: number): Float32Array {
  const columns = values.length / rows;
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** The matrices a model has with the adapter in it. */
function merged(name: string, adapter: Adapter): Record<string, Float32Array> {
  const { spec, weights } = openModel(join(golden, name, 'model'));
  return Object.fromEntries(
    targetModules(spec).map((target) => {
      const values = moduleWeight(weights, spec, target).slice();
      addDeltas(values, target.path, [{ adapter, weight: 1 }]);
      return [target.path, values];
    }),
  );
}

const open = (name: string) => {
  const model = openModel(join(golden, name, 'model'));
  return { model, spec: model.spec, adapter: readAdapter(join(golden, name, 'adapter'), model) };
};

it.each([
  ['lora-dora', (name: string) => name.replace('_vector', '_vector.default').replace('.weight', '.default.weight')],
  ['lora-dora', (name: string) => name.replace('_vector', '_vector.weight').replace('base_model.model.', '')],
  ['lora-head-embed', (name: string) => name.replace(/(embedding_[AB])/, '$1.other').replace('.weight', '.other.weight')],
  ['lora-saved-head', (name: string) => name.replace('lm_head.', 'lm_head.modules_to_save.default.')],
  ['lora-bias', (name: string) => name.replace('.base_layer.bias', '.bias')],
] as const)('%s with keys of other versions of PEFT', (name, key) => {
  const { model, adapter } = open(name);
  const dir = mkdtempSync(join(work, 'old-'));
  writeFileSync(join(dir, 'adapter_config.json'), readFileSync(join(golden, name, 'adapter/adapter_config.json')));
  const tensors = adapter.shape.tensors.map((tensor) => {
    return { name: key(tensor.name), shape: tensor.shape, values: tensorView(adapter.parameters, tensor) };
  });
  const copies =
    name === 'lora-saved-head' ? [{ name: 'lm_head.original_module.weight', shape: [1], values: new Float32Array(1) }] : [];
  writeSafetensors(join(dir, 'adapter_model.safetensors'), [...tensors, ...copies]);
  expect(readAdapter(dir, model).parameters).toEqual(adapter.parameters);
});

it.each(['lora-patterns', 'lora-dora', 'lora-head-embed'])('%s as mlx-lm keeps it', (name) => {
  const { model, adapter } = open(name);
  const dir = join(work, `${name}-mlx`);
  const [scale, dora] = [3, adapter.config.dora];
  mkdirSync(dir);
  const config = { fine_tune_type: dora ? 'dora' : 'lora', num_layers: 2, lora_parameters: { rank: 4, scale, dropout: 0 } };
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(config));
  const tensors = adapter.shape.modules.flatMap(
    ({ path, rank, inFeatures, outFeatures, a, b, magnitude, scale: own }): Written[] => {
      const view = (tensor: typeof a) => tensorView(adapter.parameters, tensor);
      return [
        { name: `${path}.lora_a`, shape: [inFeatures, rank], values: turned(view(a), rank) },
        {
          name: `${path}.lora_b`,
          shape: [rank, outFeatures],
          values: turned(view(b), outFeatures).map((x) => (x * own) / scale),
        },
        ...(magnitude ? [{ name: `${path}.m`, shape: [outFeatures], values: view(magnitude) }] : []),
      ];
    },
  );
  writeSafetensors(join(dir, 'adapters.safetensors'), tensors);
  const found = readAdapter(dir, model);
  expect(found.config.dora).toBe(dora);
  const [is, should] = [merged(name, found), merged(name, adapter)];
  for (const [path, values] of Object.entries(should))
    values.forEach((value, i) => expect(Math.abs(is[path]![i]! - value), path).toBeLessThan(1e-6));
});

it('as llama.cpp keeps it: queries and keys with their rows moved, alpha over the rank', () => {
  const name = 'lora-some-layers';
  const { model, spec, adapter } = open(name);
  const path = join(work, 'adapter.gguf');
  const metadata = new Map<string, GgufValue>([
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'float32', value: 8 }],
  ]);
  const roles: Record<string, string> = { q_proj: 'attn_q', v_proj: 'attn_v' };
  const tensors = adapter.shape.modules.flatMap(({ path: module, a, b }): Written[] => {
    const [, layer, kind] = /layers\.(\d+)\.self_attn\.(\w+)/.exec(module)!;
    const key = `blk.${layer}.${roles[kind!]}.weight`;
    const values = tensorView(adapter.parameters, b).slice();
    // Row (half h, pair j) of a head lies at 2 j + h.
    const [rank, headDim] = [b.shape[1]!, attentionOf(spec.blocks[0]!).headDim];
    const moved = values.slice();
    for (let row = 0; kind === 'q_proj' && row < b.shape[0]!; row++) {
      const inHead = row % headDim;
      const there = row - inHead + 2 * (inHead % (headDim / 2)) + Math.floor(inHead / (headDim / 2));
      moved.set(values.subarray(row * rank, (row + 1) * rank), there * rank);
    }
    return [
      { name: `${key}.lora_a`, shape: a.shape, values: tensorView(adapter.parameters, a) },
      { name: `${key}.lora_b`, shape: b.shape, values: moved },
    ];
  });
  const writer = new GgufWriter(
    path,
    metadata,
    tensors.map(({ name: key, shape }) => ({ name: key, type: 'F32' as const, shape })),
  );
  for (const { values } of tensors) writer.write(values);
  writer.finish();
  const found = readAdapter(path, model);
  expect(found.shape.modules.map(({ path: module, scale }) => [module, scale])).toEqual(
    adapter.shape.modules.map(({ path: module }) => [module, 2]),
  );
  expect(found.parameters).toEqual(adapter.parameters);
  expect(() => readAdapter(path, { ...model, spec: { ...spec, blocks: spec.blocks.slice(0, 2) } })).toThrow(Problem);
});

interface Changed {
  /** Left out where null. */
  readonly metadata?: Readonly<Record<string, GgufValue | null>>;
  readonly tensors?: (tensors: readonly Written[]) => readonly Written[];
}

/** The adapter of 'lora-some-layers', values aside, as a GGUF in which something is otherwise. */
function ggufWith({ metadata = {}, tensors: change = (same) => same }: Changed): string {
  const path = join(mkdtempSync(join(work, 'gguf-')), 'adapter.gguf');
  const usual: Record<string, GgufValue | null> = {
    'general.type': { type: 'string', value: 'adapter' },
    'general.architecture': { type: 'string', value: 'llama' },
    'adapter.type': { type: 'string', value: 'lora' },
    'adapter.lora.alpha': { type: 'float32', value: 8 },
    ...metadata,
  };
  const given = Object.entries(usual).filter((entry): entry is [string, GgufValue] => entry[1] !== null);
  const tensors = change(
    ['lora_a', 'lora_b'].map((part) => {
      const shape = part === 'lora_a' ? [4, 32] : [32, 4];
      return { name: `blk.0.attn_q.weight.${part}`, shape, values: new Float32Array(128) };
    }),
  );
  const plan = tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const writer = new GgufWriter(path, new Map(given), plan);
  for (const { values } of tensors) writer.write(values);
  writer.finish();
  return path;
}

const text = (value: string): GgufValue => ({ type: 'string', value });

it.each<[string, Changed, RegExp]>([
  ['a model', { metadata: { 'general.type': text('model') } }, /is no adapter: its 'general\.type' is 'model'/],
  ['another kind', { metadata: { 'adapter.type': text('control') } }, /is no LoRA adapter: its 'adapter\.type' is 'control'/],
  ['no kind', { metadata: { 'adapter.type': null } }, /its 'adapter\.type' is missing/],
  [
    'another architecture',
    { metadata: { 'general.architecture': text('qwen2') } },
    /for the architecture 'qwen2', and the model is 'llama'/,
  ],
  ['no architecture', { metadata: { 'general.architecture': null } }, /for the architecture it does not name/],
  ['no alpha', { metadata: { 'adapter.lora.alpha': null } }, /does not say its 'adapter\.lora\.alpha'/],
  ['half of a pair', { tensors: ([a]) => [a!] }, /has 'blk\.0\.attn_q\.weight\.lora_a' but not the other factor .*lora_b'/],
  ['the other half', { tensors: ([, b]) => [b!] }, /has 'blk\.0\.attn_q\.weight\.lora_b' but not the other factor .*lora_a'/],
  [
    'factors of two ranks',
    { tensors: ([a, b]) => [{ ...a!, shape: [2, 32], values: new Float32Array(64) }, b!] },
    /lora_a' is \[2, 32\].*\[4, 32\]/,
  ],
  [
    'no such layer',
    { tensors: (all) => all.map((one) => ({ ...one, name: one.name.replace('.0.', '.7.') })) },
    /'blk\.7\.attn_q\.weight\.lora_a' \[4, 32\], 'blk\.7/,
  ],
  [
    'more',
    { tensors: (all) => [...all, { name: 'blk.0.attn_norm.weight', shape: [32], values: new Float32Array(32) }] },
    /'blk\.0\.attn_norm\.weight' \[32\]/,
  ],
])('a GGUF of %s is refused by name', (_, change, words) => {
  const { model } = open('lora-some-layers');
  expect(() => readAdapter(ggufWith(change), model)).toThrow(words);
});

function mlxWith(rename: (name: string) => string, keep: (name: string) => boolean = () => true): string {
  const dir = mkdtempSync(join(work, 'mlx-'));
  const config = { fine_tune_type: 'lora', num_layers: 1, lora_parameters: { rank: 4, scale: 2, dropout: 0 } };
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(config));
  const tensors = ['lora_a', 'lora_b'].map((part): Written => {
    const shape = part === 'lora_a' ? [32, 4] : [4, 32];
    return { name: rename(`model.layers.1.self_attn.q_proj.${part}`), shape, values: new Float32Array(128).fill(0.5) };
  });
  writeSafetensors(
    join(dir, 'adapters.safetensors'),
    tensors.filter(({ name }) => keep(name)),
  );
  return dir;
}

it.each([
  ['of a model that also sees', (name: string) => `language_model.${name}`],
  ['of a compiled model', (name: string) => `_orig_mod.${name}`],
])('mlx-lm’s names %s are known', (_, rename) => {
  const { model } = open('lora-some-layers');
  const { shape } = readAdapter(mlxWith(rename), model);
  expect(shape.modules.map(({ path }) => path)).toEqual(['model.layers.1.self_attn.q_proj']);
});

it('mlx-lm’s adapter with half of a pair, or with more than factors, is refused by name', () => {
  const { model } = open('lora-some-layers');
  const half = mlxWith(
    (name) => name,
    (name) => !name.endsWith('lora_b'),
  );
  expect(() => readAdapter(half, model)).toThrow(/has '.*q_proj\.lora_a' but not the other factor of the pair, '.*lora_b'/);
  const more = mlxWith((name) => name.replace('q_proj', 'gate'));
  expect(() => readAdapter(more, model)).toThrow(/'model\.layers\.1\.self_attn\.gate\.lora_a' \[32, 4\], '/);
});
