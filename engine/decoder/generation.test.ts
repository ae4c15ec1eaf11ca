/** Greedy tokens against PEFT's, adapters switched within one session, and the cache against a fresh start. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import { noSlots } from './adapter-inputs.ts';
import { buildGeneration, GenerationSession } from './generation.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-generation-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

function argmax(values: Float32Array): number {
  return values.reduce((best, x, i) => (x > values[best]! ? i : best), 0);
}

function difference(a: Float32Array, b: Float32Array): number {
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0);
}

async function greedy(session: GenerationSession, prompt: readonly number[], count: number): Promise<number[]> {
  session.reset();
  const tokens: number[] = [];
  let next = argmax(await session.feed(prompt));
  for (;;) {
    tokens.push(next);
    if (tokens.length === count) return tokens;
    next = argmax(await session.feed([next]));
  }
}

describe.each(['llama-tied', 'llama3-rope', 'lora-some-layers'])('%s', (name) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const adapter = readAdapter(join(folder, 'adapter'), model);
  const { greedy: expected } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    greedy: { prompt: number[]; tokens: number[] };
  };

  test('greedy tokens, adapters and cache', async () => {
    const session = await GenerationSession.open(model, { threads: 2, cacheDir, openSession });
    await session.useAdapters([{ adapter, weight: 1 }]);
    expect(await greedy(session, expected.prompt, expected.tokens.length)).toEqual(expected.tokens);
    expect(session.length).toBe(expected.prompt.length + expected.tokens.length - 1);

    // Two halves of an adapter are that adapter.
    session.reset();
    const whole = await session.feed(expected.prompt);
    await session.useAdapters([
      { adapter, weight: 0.25 },
      { adapter, weight: 0.75 },
    ]);
    expect(difference(await session.feed(expected.prompt), whole)).toBeLessThan(1e-5);

    // The base, in the same session: logits of the first row's first positions.
    const file = readSafetensors(join(folder, 'expected.safetensors'));
    const base = readSafetensorsFloat32(file.path, file.tensors.get('base_logits')!);
    const row = JSON.parse(readFileSync(join(folder, 'rows.jsonl'), 'utf8').split('\n')[0]!) as { input_ids: number[] };
    await session.useAdapters([]);
    const vocabulary = model.spec.vocabularySize;
    for (const [i, token] of row.input_ids.slice(0, 4).entries()) {
      expect(difference(await session.feed([token]), base.subarray(i * vocabulary, (i + 1) * vocabulary))).toBeLessThan(2e-5);
    }

    // Fed in any pieces, also past the first capacity of the cache.
    const long = Array.from({ length: 600 }, (_, i) => i % vocabulary);
    session.reset();
    const atOnce = await session.feed(long);
    session.reset();
    await session.feed(long.slice(0, 250));
    await session.feed(long.slice(250, 599));
    expect(difference(await session.feed(long.slice(599)), atOnce)).toBeLessThan(2e-5);
    await session.release();
  });
});

test('a token reads cached keys and values where they lie, and a base without adapters has no nodes for them', async () => {
  const { spec, weights } = openModel(join(import.meta.dirname, '../golden/llama-tied/model'));
  const g = buildGeneration(spec, await weights.files(cacheDir), noSlots);
  const readers = g.nodes.filter(({ inputs }) => inputs.some(({ name }) => name.startsWith('past.')));
  expect(readers.map(({ type }) => type)).toEqual(Array(2 * spec.blocks.length).fill('FusedMatMul'));
  expect([...g.outputs.keys()]).toEqual(['logits', 'new.key', 'new.value']);
  const products = g.nodes.filter(({ type }) => type === 'Gemm').length;
  expect(products).toBe(7 * spec.blocks.length + 1);
});
