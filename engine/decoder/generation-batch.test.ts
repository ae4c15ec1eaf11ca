/** Rows that are answered together get the logits that each gets by itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import { canShareCache, GenerationBatch } from './generation-batch.ts';
import { GenerationSession } from './generation.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-batch-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

const best = (logits: Float32Array): number => logits.reduce((at, value, i) => (value > logits[at]! ? i : at), 0);

interface Fed {
  readonly tokens: readonly number[];
  readonly logits: Float32Array;
}

/** Answers greedily and notes the logits of each token. */
async function answer(feed: (tokens: readonly number[]) => Promise<Float32Array>, prompt: readonly number[], count: number) {
  const fed: Fed[] = [];
  for (let next = prompt; fed.length < count;) {
    const logits = Float32Array.from(await feed(next));
    fed.push({ tokens: next, logits });
    next = [best(logits)];
  }
  return fed;
}

test.each(['llama-tied', 'mistral-window', 'gemma2', 'gpt2', 'ministral3', 'cohere2', 'smollm3'])('%s', async (name) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const session = await GenerationSession.open(model, { threads: 2, cacheDir, openSession });
  const adapters = name === 'llama-tied' ? [{ adapter: readAdapter(join(folder, 'adapter'), model), weight: 1 }] : [];
  await session.useAdapters(adapters);
  const size = model.spec.vocabularySize;
  const common = Array.from({ length: 11 }, (_, i) => (7 * i + 3) % size);
  const prompts = [5, 1, 14, 8].map((length, row) => Array.from({ length }, (_, i) => (13 * i + 29 * row + 1) % size));
  const counts = [9, 12, 3, 1];
  expect(canShareCache(model.spec, 40)).toBe(true);

  await session.feed(common);
  const batch = new GenerationBatch(session, session.keep());
  const rows = prompts.map(() => batch.open());
  const together = await Promise.all(
    rows.map(async (row, i) => {
      const fed = await answer((tokens) => row.feed(tokens), prompts[i]!, counts[i]!);
      row.end();
      return fed;
    }),
  );

  for (const [i, prompt] of prompts.entries()) {
    session.reset();
    await session.feed(common);
    const alone = await answer((tokens) => session.feed(tokens), prompt, counts[i]!);
    expect(together[i]!.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
    for (const [at, { logits }] of alone.entries()) {
      const other = together[i]![at]!.logits;
      expect(logits.reduce((worst, value, j) => Math.max(worst, Math.abs(value - other[j]!)), 0)).toBeLessThan(2e-5);
    }
  }
  await session.release();
});

test('rows whose positions depend on the length of the row cannot share a cache', () => {
  for (const name of ['llama-dynamic', 'phi3-longrope']) {
    const { spec } = openModel(join(import.meta.dirname, '../golden', name, 'model'));
    expect([canShareCache(spec, 8), canShareCache(spec, 1_000_000)]).toEqual([true, false]);
  }
});
