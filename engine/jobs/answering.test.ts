import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GenerationSession } from '../decoder/generation.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import { answerGreedily } from '../evaluate/answers.ts';
import { silentPort } from '../testing/port.ts';
import { Answering, sharedPrefix } from './answering.ts';
import type { AskedRow } from './compared-rows.ts';
import { openContestant } from './contestants.ts';
import { KeptAnswers } from './kept-answers.ts';

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

it('rows that are answered together get the answers that each gets by itself, and keep them', async () => {
  const model = openModel('resources/tiny/model');
  const contestant = openContestant(model, { name: 'base' });
  const common = Array.from({ length: 12 }, (_, i) => 40 + i);
  const rows = Array.from({ length: 21 }, (_, index): AskedRow => {
    const prompt = [...common, ...Array.from({ length: 2 + (index % 5) }, (_, i) => 60 + ((17 * index + i) % 200))];
    return { index, messages: null, question: { prompt, answer: [], question: '', expected: '' } } as unknown as AskedRow;
  });
  const limitOf = ({ index }: AskedRow): number => 3 + (index % 4);
  const kept = new KeptAnswers(null);
  const answering = new Answering(cacheDir, { kept, port: silentPort, schema: null });
  const told: number[] = [];
  const shared = common.length;
  const together = await answering.answers(contestant, rows, { shared, limitOf, onAnswer: ({ index }) => told.push(index) });
  expect(told.toSorted((a, b) => a - b)).toEqual(rows.map(({ index }) => index));
  expect(await answering.answers(contestant, rows, { shared, limitOf })).toEqual(together);
  await answering.release();

  const session = await GenerationSession.open(model, { threads: 1, cacheDir, openSession });
  for (const [i, row] of rows.entries()) {
    const { text, tokens } = await answerGreedily(session, row.question, {
      ...{ contextLength: 512, tokenizer: contestant.tokenizer!, maxTokens: limitOf(row), shouldStop: () => false },
    });
    expect(together[i]).toMatchObject({ text, tokens: tokens.length });
  }
  await session.release();
});
