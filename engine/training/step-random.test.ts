/** Dropout and NEFTune noise in a whole step: the same numbers however it is computed and batched, and none when only evaluated. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import type { TokensOfRow } from './examples.ts';
import { toPaddedBatch, toPackedBatch } from './micro-batch.ts';
import { TrainStep, type TrainStepOptions } from './step.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'step-random-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

const rows = [14, 9].map((length, index): TokensOfRow => {
  const inputIds = Int32Array.from({ length }, (_, t) => (3 + 31 * index + 7 * t) % 97);
  return { index, file: '', line: 1, inputIds, labels: inputIds };
});

function difference(a: Float32Array, b: Float32Array): number {
  const largest = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0) / largest;
}
const sum = (values: Float32Array): number => values.reduce((total, x) => total + x, 0);

it.each(['lora-dora', 'lora-head-embed', 'lora-saved-head'])('%s', async (name) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const { shape, parameters } = readAdapter(join(folder, 'adapter'), model);
  const open = (options: Partial<TrainStepOptions>) =>
    TrainStep.open(model, shape, { threads: 1, cacheDir, openSession, recompute: 0, seed: 5, ...options });
  const both = { dropout: 0.4, neftuneNoiseAlpha: 5 };
  const [plain, kept, again] = [await open({}), await open(both), await open({ ...both, recompute: Infinity })];
  const batch = toPaddedBatch(rows);
  const place = { step: 3, firstRow: 2 };
  const whole = await kept.gradient(batch, parameters, place);

  // Recomputed blocks drop the same elements, and a row the same ones wherever it is batched.
  const recomputed = await again.gradient(batch, parameters, place);
  expect(difference(recomputed.tokenLoss, whole.tokenLoss)).toBeLessThan(1e-6);
  expect(difference(recomputed.gradient!, whole.gradient!)).toBeLessThan(1e-5);
  const alone = await Promise.all(
    rows.map((row, i) => kept.gradient(toPaddedBatch([row]), parameters, { step: 3, firstRow: 2 + i })),
  );
  const added = alone[0]!.gradient!.map((x, i) => x + alone[1]!.gradient![i]!);
  expect(difference(added, whole.gradient!)).toBeLessThan(1e-5);

  const scored = await kept.score(batch, parameters, place);
  expect(difference(scored.tokenLoss, whole.tokenLoss)).toBeLessThan(1e-6);

  const packed = await kept.gradient(toPackedBatch(rows), parameters, place);
  expect(difference(packed.gradient!, whole.gradient!)).toBeLessThan(1e-5);

  // Another step, row or seed drops others; an evaluation drops none.
  for (const other of [
    await kept.gradient(batch, parameters, { step: 4, firstRow: 2 }),
    await kept.gradient(batch, parameters, { step: 3, firstRow: 0 }),
    await (await open({ ...both, seed: 6 })).gradient(batch, parameters, place),
    await (await open({ ...both, neftuneNoiseAlpha: 0 })).gradient(batch, parameters, place),
    await (await open({ ...both, dropout: 0 })).gradient(batch, parameters, place),
  ])
    expect(Math.abs(sum(other.tokenLoss) / sum(whole.tokenLoss) - 1)).toBeGreaterThan(1e-4);
  expect((await kept.evaluate(batch, parameters)).tokenLoss).toEqual((await plain.evaluate(batch, parameters)).tokenLoss);

  // The gradient is that of the loss with these elements dropped. DoRA's lengths count as constants, so its factors are left out.
  const free = shape.tensors.filter(
    ({ name: key }) => !shape.modules.some(({ magnitude }) => magnitude) || key.endsWith('vector'),
  );
  for (const tensor of free.slice(0, 6)) {
    const [at, by] = [tensor.offset + 1, 1e-2];
    const moved = async (shift: number) => {
      const changed = parameters.slice();
      changed[at]! += shift;
      return sum((await kept.gradient(batch, changed, place)).tokenLoss);
    };
    const numeric = ((await moved(by)) - (await moved(-by))) / (2 * by);
    const exact = whole.gradient![at]!;
    expect(Math.abs(numeric - exact), tensor.name).toBeLessThan(2e-3 + 0.02 * Math.abs(exact));
  }
  for (const step of [plain, kept, again]) await step.release();
});
