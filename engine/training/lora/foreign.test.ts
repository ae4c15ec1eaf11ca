/** One adapter in every form it comes in: PEFT's, older and newer, mlx-lm's and llama.cpp's. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { GgufWriter, type GgufValue } from '../../formats/gguf.ts';
import { SafetensorsWriter } from '../../formats/safetensors.ts';
import { openModel } from '../../models/open.ts';
import { Problem } from '../../problem.ts';
import { tensorView, type Adapter } from './adapter.ts';
import { addDeltas, moduleWeight } from './delta.ts';
import { readAdapter } from './folder.ts';
import { targetModules } from './targets.ts';

const golden = join(import.meta.dirname, '../../golden');
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
  const { spec } = openModel(join(golden, name, 'model'));
  return { spec, adapter: readAdapter(join(golden, name, 'adapter'), spec) };
};

it.each([
  ['lora-dora', (name: string) => name.replace('_vector', '_vector.default').replace('.weight', '.default.weight')],
  ['lora-dora', (name: string) => name.replace('_vector', '_vector.weight').replace('base_model.model.', '')],
  ['lora-head-embed', (name: string) => name.replace(/(embedding_[AB])/, '$1.other').replace('.weight', '.other.weight')],
  ['lora-saved-head', (name: string) => name.replace('lm_head.', 'lm_head.modules_to_save.default.')],
  ['lora-bias', (name: string) => name.replace('.base_layer.bias', '.bias')],
] as const)('%s with keys of other versions of PEFT', (name, key) => {
  const { spec, adapter } = open(name);
  const dir = mkdtempSync(join(work, 'old-'));
  writeFileSync(join(dir, 'adapter_config.json'), readFileSync(join(golden, name, 'adapter/adapter_config.json')));
  const tensors = adapter.shape.tensors.map((tensor) => {
    return { name: key(tensor.name), shape: tensor.shape, values: tensorView(adapter.parameters, tensor) };
  });
  const copies =
    name === 'lora-saved-head' ? [{ name: 'lm_head.original_module.weight', shape: [1], values: new Float32Array(1) }] : [];
  writeSafetensors(join(dir, 'adapter_model.safetensors'), [...tensors, ...copies]);
  expect(readAdapter(dir, spec).parameters).toEqual(adapter.parameters);
});

it.each(['lora-patterns', 'lora-dora', 'lora-head-embed'])('%s as mlx-lm keeps it', (name) => {
  const { spec, adapter } = open(name);
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
  const found = readAdapter(dir, spec);
  expect(found.config.dora).toBe(dora);
  const [is, should] = [merged(name, found), merged(name, adapter)];
  for (const [path, values] of Object.entries(should))
    values.forEach((value, i) => expect(Math.abs(is[path]![i]! - value), path).toBeLessThan(1e-6));
});

it('as llama.cpp keeps it: queries and keys with their rows moved, alpha over the rank', () => {
  const name = 'lora-some-layers';
  const { spec, adapter } = open(name);
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
    const [rank, headDim] = [b.shape[1]!, spec.headDim];
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
  const found = readAdapter(path, spec);
  expect(found.shape.modules.map(({ path: module, scale }) => [module, scale])).toEqual(
    adapter.shape.modules.map(({ path: module }) => [module, 2]),
  );
  expect(found.parameters).toEqual(adapter.parameters);
  expect(() => readAdapter(path, { ...spec, layers: 2 })).toThrow(Problem);
});
