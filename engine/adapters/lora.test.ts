import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import { defaultRecipe } from '../recipe.ts';
import { tensorView } from './adapter.ts';
import { parseAdapterConfig } from './config-file.ts';
import { readAdapter, writeAdapter } from './folder.ts';
import { newAdapter } from './initial.ts';
import { problemOf } from '../testing/problem-of.ts';

const spec = specFromConfig(
  {
    model_type: 'llama',
    hidden_size: 12,
    intermediate_size: 20,
    num_hidden_layers: 3,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    vocab_size: 40,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  },
  'config.json',
);
const recipe = { ...defaultRecipe(), rank: 2, alpha: 8, seed: 7 };
const model = { spec, weights: { read: () => new Float32Array() } };
const folder = mkdtempSync(join(tmpdir(), 'lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('adapter shape', () => {
  it('adapts the chosen matrices of the chosen layers, A [r, in] before B [out, r]', () => {
    const { shape } = newAdapter({ ...recipe, targetModules: ['k_proj', 'mlp.down_proj'], layers: [1] }, model, null);
    const { tensors, modules, length } = shape;
    expect(modules.map(({ scale }) => scale)).toEqual([4, 4]);
    expect(tensors.map(({ name, shape, offset }) => [name, shape, offset])).toEqual([
      ['base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight', [2, 12], 0],
      ['base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight', [4, 2], 24],
      ['base_model.model.model.layers.1.mlp.down_proj.lora_A.weight', [2, 20], 32],
      ['base_model.model.model.layers.1.mlp.down_proj.lora_B.weight', [12, 2], 72],
    ]);
    expect(length).toBe(96);
  });

  it('refuses targets and layers the model lacks, with the nearest name', () => {
    expect(problemOf(() => newAdapter({ ...recipe, targetModules: ['q_prj'] }, model, null)).message).toContain("'q_proj'");
    expect(problemOf(() => newAdapter({ ...recipe, layers: [3] }, model, null)).message).toContain('Layer 3');
  });
});

describe('first values', () => {
  it('are 0 in B and uniform within 1 / sqrt(in) in A', () => {
    const wide = { ...model, spec: { ...spec, hiddenSize: 4096, layers: 1 } };
    const { parameters, shape } = newAdapter({ ...recipe, rank: 16, targetModules: ['q_proj'] }, wide, null);
    const [a, b] = shape.tensors.map((tensor) => tensorView(parameters, tensor));
    expect(b!.every((value) => value === 0)).toBe(true);
    const scaled = a!.map((value) => value * 64);
    expect(Math.max(...scaled.map(Math.abs))).toBeLessThanOrEqual(1);
    const mean = scaled.reduce((sum, value) => sum + value, 0) / scaled.length;
    const variance = scaled.reduce((sum, value) => sum + value * value, 0) / scaled.length;
    expect(Math.abs(mean)).toBeLessThan(0.01);
    expect(Math.abs(variance - 1 / 3)).toBeLessThan(0.005);
  });

  it('depend on seed and name only, not on which other matrices are trained', () => {
    const all = newAdapter(recipe, model, null);
    const one = newAdapter({ ...recipe, targetModules: ['up_proj'], layers: [2] }, model, null);
    const name = one.shape.tensors[0]!.name;
    const same = all.shape.tensors.find((tensor) => tensor.name === name)!;
    expect(tensorView(all.parameters, same)).toEqual(tensorView(one.parameters, one.shape.tensors[0]!));
    expect(newAdapter({ ...recipe, seed: 8 }, model, null).parameters).not.toEqual(all.parameters);
  });
});

describe('adapter folder', () => {
  it('is read back as it was written, replacing an older one, with nothing left beside it', () => {
    const dir = join(folder, 'round-trip');
    const adapter = newAdapter({ ...recipe, targetModules: ['q_proj', 'gate_proj'], layers: [0, 2] }, model, 'base');
    writeAdapter(dir, newAdapter(recipe, model, 'other'));
    writeAdapter(dir, adapter);
    expect(readAdapter(dir, model)).toEqual(adapter);
    expect(readdirSync(dir).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('names tensor and both shapes when the adapter is for another base', () => {
    const dir = join(folder, 'other-base');
    writeAdapter(dir, newAdapter(recipe, model, null));
    const problem = problemOf(() => readAdapter(dir, { ...model, spec: { ...spec, hiddenSize: 16 } }));
    expect(problem.code).toBe('adapter-mismatch');
    expect(problem.message).toMatch(/layers\.0\.self_attn\.q_proj\.lora_A.*\[2, 12\].*\[2, 16\]/);
    expect(
      problemOf(() => readAdapter(dir, { ...model, spec: { ...spec, blocks: [...spec.blocks, spec.blocks[0]!] } })).message,
    ).toContain('model.layers.3.self_attn.q_proj.lora_A');
    expect(
      problemOf(() => readAdapter(dir, { ...model, spec: { ...spec, blocks: spec.blocks.slice(0, 2) } })).message,
    ).toContain('model.layers.2.self_attn.q_proj.lora_A');
  });

  it('reads an adapter PEFT wrote', () => {
    const dir = join(import.meta.dirname, '../golden/lora-some-layers/adapter');
    const config = parseAdapterConfig(readFileSync(join(dir, 'adapter_config.json'), 'utf8'), dir);
    expect(config).toMatchObject({ rank: 4, alpha: 8, targetModules: ['q_proj', 'v_proj'], layers: [2, 3], base: 'model' });
  });

  it.each([
    ['lora_bias', true],
    ['bias', 'some'],
    ['layer_replication', [[0, 2]]],
    ['target_parameters', ['mlp.experts.down_proj']],
    ['init_lora_weights', 'pissa_niter_4'],
    ['peft_type', 'LOHA'],
  ])('refuses %s = %j by its name', (field, value) => {
    const text = JSON.stringify({ r: 4, lora_alpha: 8, target_modules: ['q_proj'], [field]: value });
    const problem = problemOf(() => parseAdapterConfig(text, 'adapter_config.json'));
    expect(problem.code).toBe('model-unsupported');
    expect(problem.message).toContain(`'${field}'`);
  });

  it('refuses a field nobody knows by its name, unless it is off', () => {
    const text = (value: unknown) => JSON.stringify({ r: 4, lora_alpha: 8, target_modules: ['q_proj'], use_strange: value });
    expect(problemOf(() => parseAdapterConfig(text(true), 'adapter_config.json'))).toMatchObject({
      code: 'field-unknown',
      field: 'use_strange',
    });
    for (const off of [false, null, {}, []]) expect(parseAdapterConfig(text(off), 'adapter_config.json').rank).toBe(4);
  });

  it('is refused when damaged', () => {
    const dir = join(folder, 'damaged');
    writeAdapter(dir, newAdapter(recipe, model, null));
    const cut = join(folder, 'cut');
    cpSync(dir, cut, { recursive: true });
    const weights = readFileSync(join(cut, 'adapter_model.safetensors'));
    writeFileSync(join(cut, 'adapter_model.safetensors'), weights.subarray(0, weights.length - 100));
    expect(problemOf(() => readAdapter(cut, model)).code).toBe('file-damaged');
    writeFileSync(join(cut, 'adapter_config.json'), '{"r": 4,');
    expect(problemOf(() => readAdapter(cut, model)).code).toBe('config-invalid');
    rmSync(join(cut, 'adapter_config.json'));
    expect(problemOf(() => readAdapter(cut, model)).code).toBe('file-missing');
  });
});
