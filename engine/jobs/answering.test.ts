import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GenerationSession } from '../decoder/generation.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import { sharedPrefix } from './answering.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-answering-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

it('the tokens that all prompts begin with leave one of each to be fed', () => {
  const start = [...Array(10).keys()];
  expect(
    sharedPrefix([
      [...start, 50, 51],
      [...start, 60],
    ]),
  ).toBe(10);
  expect(sharedPrefix([start, [...start, 60]])).toBe(9);
  expect(
    sharedPrefix([
      [1, 2, 3, 4],
      [1, 2, 3, 5],
    ]),
  ).toBe(0);
  expect(sharedPrefix([start])).toBe(0);
  expect(sharedPrefix([])).toBe(0);
});

describe('the kept state of a common beginning', () => {
  it.each(['resources/tiny/model', 'engine/golden/llama-tied/model', 'engine/golden/gpt2/model', 'engine/golden/gemma2/model'])(
    'of %s gives the very logits that feeding it again gives',
    async (path) => {
      const model = openModel(path);
      const tokens = (count: number, seed: number) => Array.from({ length: count }, (_, i) => 5 + ((i * 7 + seed) % 30));
      const [prefix, ...rests] = [tokens(40, 1), tokens(9, 2), tokens(3, 3), tokens(1, 4)] as const;
      const session = await GenerationSession.open(model, { threads: 1, cacheDir, openSession });
      try {
        await session.feed(prefix);
        const kept = session.keep();
        for (const rest of rests) {
          session.restore(kept);
          const restored = [await session.feed(rest), await session.feed([7])];
          session.reset();
          await session.feed(prefix);
          const fed = [await session.feed(rest), await session.feed([7])];
          expect(restored).toEqual(fed);
          session.reset();
          const whole = await session.feed([...prefix, ...rest]);
          // Fed in other pieces, sums are rounded otherwise.
          whole.forEach((value, i) => expect(Math.abs(value - fed[0]![i]!)).toBeLessThan(1e-4));
        }
      } finally {
        await session.release();
      }
    },
  );
});
