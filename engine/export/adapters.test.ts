/** An adapter in the formats of other programs: what is read back does the same to every matrix, and what has no place is named. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { tensorView } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import { readGguf, readGgufFloat32 } from '../formats/gguf.ts';
import { readOnnxAdapter, writeOnnxAdapter } from '../formats/onnx-adapter.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { findTarget } from './index.ts';
import { mergeAdapters } from './merge.ts';
import { onnxAdapterName, onnxFactors } from './onnx/folder.ts';
import { compareFactors } from './readback.ts';
import { exportSource } from './source.ts';

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'adapters-'));
afterAll(() => rmSync(work, { recursive: true }));

/** Cases with an adapter, and in which words a format refuses it. */
const cases: readonly { readonly name: string; readonly 'lora-gguf'?: RegExp; readonly mlx?: RegExp }[] = [
  { name: 'llama-tied' },
  { name: 'llama3-rope' },
  { name: 'lora-rslora' },
  { name: 'lora-patterns' },
  { name: 'lora-some-layers' },
  { name: 'lora-head-embed' },
  { name: 'qwen2' },
  { name: 'gemma2' },
  { name: 'phi3' },
  { name: 'starcoder2' },
  { name: 'gpt2', mlx: /names the modules of a 'gpt2' model otherwise/ },
  { name: 'gpt-neox', mlx: /names the modules/ },
  { name: 'lora-dora', 'lora-gguf': /no place for the magnitudes of DoRA/ },
  { name: 'lora-bias', 'lora-gguf': /the bias '.*bias', which was trained/, mlx: /the bias/ },
  { name: 'lora-saved-head', 'lora-gguf': /'lm_head\.weight', which was trained whole/, mlx: /trained whole/ },
  { name: 'lora-tied', 'lora-gguf': /share their weights/, mlx: /share their weights/ },
];

function open(name: string) {
  const model = openModel(join(golden, name, 'model'));
  const adapter = readAdapter(join(golden, name, 'adapter'), model);
  return { model, adapter, source: exportSource(model, [{ adapter, weight: 1 }], null) };
}

describe.each(['lora-gguf', 'mlx'] as const)('%s', (format) => {
  const target = findTarget(format, null);
  it.each(cases)('$name', async (known) => {
    const { model, adapter, source } = open(known.name);
    const path = join(work, `${known.name}-${format}${target.folder ? '' : '.gguf'}`);
    if (target.folder) mkdirSync(path);
    const words = known[format];
    const write = () => target.write(path, source, async () => {});
    if (words !== undefined) {
      expect(target.refusal!(model.spec, adapter.shape)!.message).toMatch(words);
      await expect(write()).rejects.toMatchObject({
        code: 'export-unsupported',
        message: expect.stringMatching(words) as string,
      });
      return;
    }
    await write();
    const back = readAdapter(path, model);
    expect(back.shape.modules.map(({ path: module, rank }) => [module, rank])).toEqual(
      adapter.shape.modules.map(({ path: module, rank }) => [module, rank]),
    );
    const again = mergeAdapters(model, [{ adapter: back, weight: 1 }]).weights;
    for (const { path: module } of adapter.shape.modules) {
      const [is, should] = [again.read(`${module}.weight`), source.weights.read(`${module}.weight`)];
      should.forEach((value, i) => expect(Math.abs(is[i]! - value), module).toBeLessThan(1e-6));
    }
  });
});

it('an adapter for llama.cpp has what its loader asks for', async () => {
  const { model, adapter, source } = open('lora-patterns');
  const path = join(work, 'asked.gguf');
  await findTarget('lora-gguf', null).write(path, source, async () => {});
  const file = readGguf(path);
  const [first] = adapter.shape.modules;
  expect(file.metadata.get('general.architecture')).toEqual({ type: 'string', value: 'llama' });
  expect(file.metadata.get('general.type')).toEqual({ type: 'string', value: 'adapter' });
  expect(file.metadata.get('adapter.type')).toEqual({ type: 'string', value: 'lora' });
  const alpha = file.metadata.get('adapter.lora.alpha')!;
  expect(alpha).toEqual({ type: 'float32', value: first!.scale * first!.rank });
  for (const { path: module, a, b, rank, scale, outFeatures, inFeatures } of adapter.shape.modules) {
    const [, layer, part] = /layers\.(\d+)\.\w+\.(\w+)$/.exec(module)!;
    const role = { q_proj: 'attn_q', k_proj: 'attn_k', v_proj: 'attn_v', o_proj: 'attn_output' }[part!];
    const name = `blk.${layer}.${role ?? part!.replace(/(\w+)_proj/, 'ffn_$1')}.weight`;
    const [own, other] = [file.tensors.get(`${name}.lora_a`)!, file.tensors.get(`${name}.lora_b`)!];
    expect([own.shape, other.shape]).toEqual([
      [rank, inFeatures],
      [outFeatures, rank],
    ]);
    expect(readGgufFloat32(path, own)).toEqual(tensorView(adapter.parameters, a));
    // llama.cpp multiplies by alpha over the rank of B; rows of queries and keys are moved within their heads.
    const [is, should] = [readGgufFloat32(path, other), tensorView(adapter.parameters, b)].map((values) => values.toSorted());
    const factor = (scale * rank) / Number(alpha.value);
    should!.forEach((value, i) => expect(Math.abs(is![i]! - value * factor)).toBeLessThan(1e-7));
  }
  expect(model.spec.family).toBe('llama');
});

it('an adapter for mlx-lm names its modules as they are found in the last blocks', async () => {
  const { source } = open('lora-some-layers');
  const folder = join(work, 'named');
  mkdirSync(folder);
  await findTarget('mlx', null).write(folder, source, async () => {});
  const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
  const layers = source.adapters[0]!.adapter.shape.modules.map(({ path }) => Number(/\d+/.exec(path)![0]));
  expect(config).toMatchObject({
    fine_tune_type: 'lora',
    num_layers: source.model.spec.blocks.length - Math.min(...layers),
    lora_parameters: { keys: ['self_attn.q_proj', 'self_attn.v_proj'] },
  });
  const names = [...readSafetensors(join(folder, 'adapters.safetensors')).tensors.keys()];
  expect(names).toContain(`model.layers.${layers[0]}.self_attn.q_proj.lora_a`);
});

it('several adapters, or a part of one, are no adapter of their own', async () => {
  const { model, adapter } = open('llama-tied');
  for (const [adapters, words] of [
    [[], /no adapter/],
    [[{ adapter, weight: 0.5 }], /A part of an adapter/],
    [
      [
        { adapter, weight: 1 },
        { adapter, weight: 1 },
      ],
      /Several adapters/,
    ],
  ] as const)
    await expect(
      Promise.resolve().then(() =>
        findTarget('lora-gguf', null).write(join(work, 'none'), exportSource(model, adapters, null), async () => {}),
      ),
    ).rejects.toThrow(words);
});

describe('an adapter beside an ONNX model', () => {
  it.each([
    ['lora-dora', /no place for the magnitudes of DoRA/],
    ['lora-head-embed', /no place for the embedding/],
    ['lora-bias', /the bias '.*bias', which was trained/],
    ['lora-saved-head', /'lm_head\.weight', which was trained whole/],
    ['lora-tied', /share their weights|the embedding/],
  ])('refuses %s', (name, words) => {
    const { model, adapter } = open(name);
    expect(findTarget('onnx-adapter', null).refusal!(model.spec, adapter.shape)!.message).toMatch(words);
  });

  it('has its factors to the bit, and a proof that says which is another one', async () => {
    const { adapter, source } = open('lora-patterns');
    const folder = join(work, 'beside');
    mkdirSync(folder);
    await findTarget('onnx-adapter', 'f32').write(folder, source, async () => {});
    const factors = readOnnxAdapter(join(folder, onnxAdapterName));
    expect(factors).toEqual(onnxFactors(adapter));
    expect(compareFactors(adapter, folder)).toMatchObject({ passed: true });
    const changed = factors.map((factor, i) => (i === 3 ? { ...factor, values: factor.values.toReversed() } : factor));
    rmSync(join(folder, onnxAdapterName));
    writeOnnxAdapter(join(folder, onnxAdapterName), changed);
    expect(compareFactors(adapter, folder)).toMatchObject({ passed: false, text: `'${factors[3]!.name}' is another one` });
  });
});
