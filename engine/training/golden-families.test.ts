/** Every model family against transformers and PEFT: engine/golden, from the hub folder and from the GGUF where there is one. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { limits, measureCase, type Differences } from '../testing/golden-case.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'golden-families-'));
afterAll(() => rmSync(root, { recursive: true }));

const names = [
  ...['cohere2', 'gemma', 'gemma2', 'gemma3', 'gpt-neox', 'gpt2', 'granite', 'granite-untied', 'llama-dynamic', 'llama-linear'],
  ...['llama-tied', 'llama-yarn', 'llama3-rope', 'ministral3', 'ministral3-long', 'mistral-layer-types', 'mistral-no-window'],
  ...['mistral-window', 'olmo2', 'olmo3', 'phi', 'phi-qk-layernorm', 'phi3', 'phi3-longrope', 'phi3-window', 'qwen2'],
  ...['qwen2-window', 'qwen3', 'qwen3-bias', 'smollm3', 'smollm3-window', 'stablelm', 'stablelm-parallel', 'starcoder2'],
  'starcoder2-no-bias',
];
/** A GGUF of Gemma 2 has no `query_pre_attn_scalar`: llama.cpp knows it of the published sizes, and this one is none of them. */
const carriesLess = join('gemma2', 'model.gguf');
const sources = names.flatMap((name) =>
  ['model', 'model.gguf']
    .filter((source) => existsSync(join(golden, name, source)) && join(name, source) !== carriesLess)
    .map((source) => [name, source] as const),
);

describe.each(sources)('%s, %s', (name, source) => {
  it('computes, trains, merges and answers as the reference does', async () => {
    const differences = await measureCase(join(golden, name), source, mkdtempSync(join(root, 'case-')));
    const beyond = (Object.keys(limits) as (keyof Differences)[]).filter((what) => !(differences[what] < limits[what]));
    expect(beyond, JSON.stringify(differences)).toEqual([]);
  });
});
