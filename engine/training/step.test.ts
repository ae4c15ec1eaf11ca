/** Losses, gradients and logits against PEFT's, on the reference cases. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { tensorView, type Adapter } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import { logitsOf } from '../testing/logits.ts';
import { toPaddedBatch, toPackedBatch, type MicroBatch } from './micro-batch.ts';
import { TrainStep } from './step.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-step-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

interface Row {
  readonly input_ids: number[];
  readonly labels: number[];
}

function padded(rows: readonly Row[]): MicroBatch {
  const time = Math.max(...rows.map((row) => row.input_ids.length));
  const inputIds = new Int32Array(rows.length * time);
  const labels = new Int32Array(rows.length * time).fill(-100);
  rows.forEach((row, i) => {
    inputIds.set(row.input_ids, i * time);
    labels.set(row.labels, i * time);
  });
  return { inputIds, labels, batch: rows.length, time, lengths: rows.map((row) => row.input_ids.length) };
}

/** Largest difference over the positions that are not padding. */
function difference(actual: Float32Array, expected: Float32Array): number {
  return actual.reduce((worst, x, i) => Math.max(worst, Math.abs(x - expected[i]!)), 0);
}

const options = { threads: 2, cacheDir, openSession };

describe.each(['llama-tied', 'llama3-rope', 'lora-some-layers'])('%s', (name) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const adapter = readAdapter(join(folder, 'adapter'), model);
  const rows = readFileSync(join(folder, 'rows.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
  const batch = padded(rows.slice(0, 2));
  const expectedPath = join(folder, 'expected.safetensors');
  const file = readSafetensors(expectedPath);
  const expected = (tensor: string) => readSafetensorsFloat32(expectedPath, file.tensors.get(tensor)!);
  const { loss } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as { loss: number };
  const positions = batch.lengths.flatMap((length, row) => Array.from({ length }, (_, t) => row * batch.time + t));
  const atPositions = (tensor: string) => {
    const all = expected(tensor);
    const vocabulary = model.spec.vocabularySize;
    return Float32Array.from(positions.flatMap((p) => [...all.subarray(p * vocabulary, (p + 1) * vocabulary)]));
  };

  // No row is a multiple of 7 long: both are filled up.
  test.each([
    [0, 1],
    [Infinity, 1],
    [0, 7],
    [1, 3],
  ])('loss and gradients, %s blocks recomputed, attention in %i blocks', async (recompute, attentionBlocks) => {
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute, attentionBlocks });
    const { tokenLoss, tokenRow, gradient } = await step.gradient(batch, adapter.parameters);
    const mean = tokenLoss.reduce((sum, x) => sum + x, 0) / tokenLoss.length;
    expect(Math.abs(mean - loss)).toBeLessThan(1e-5);
    expect(tokenRow.length).toBe(tokenLoss.length);
    for (const tensor of adapter.shape.tensors) {
      const want = expected(`grad.${tensor.name}`);
      const got = tensorView(gradient!, tensor).map((x) => x / tokenLoss.length);
      const scale = want.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
      expect(difference(got, want) / scale, tensor.name).toBeLessThan(1e-4);
    }
    const evaluated = await step.evaluate(batch, adapter.parameters);
    expect(difference(evaluated.tokenLoss, tokenLoss)).toBeLessThan(1e-5);
    expect(evaluated.gradient).toBeNull();
    await step.release();
  });

  test('logits with the adapter and without', async () => {
    const found = (of: Adapter | null) => logitsOf(model, of, batch, options);
    expect(difference(await found(adapter), atPositions('logits'))).toBeLessThan(2e-5);
    expect(difference(await found(null), atPositions('base_logits'))).toBeLessThan(2e-5);
  });

  test('the sessions of a step or that of an evaluation are open, and those of a step stay so', async () => {
    let [open, most, opened] = [0, 0, 0];
    const counted: typeof openSession = async (...given) => {
      most = Math.max(most, ++open);
      opened++;
      const session = await openSession(...given);
      return { ...session, release: () => ((open -= 1), session.release()) };
    };
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute: 0, openSession: counted });
    const before = await step.gradient(batch, adapter.parameters);
    await step.evaluate(batch, adapter.parameters);
    await step.prepare();
    expect((await step.gradient(batch, adapter.parameters)).gradient).toEqual(before.gradient);
    expect([open, most, opened]).toEqual([1, 1, 3]);
    const place = { step: 0, firstRow: 0 };
    for (let i = 0; i < 3; i++) {
      await step.score(batch, adapter.parameters, place);
      await step.gradient(batch, adapter.parameters, place);
    }
    expect([open, most, opened]).toEqual([2, 2, 4]);
    await step.evaluate(batch, adapter.parameters);
    expect([open, most]).toEqual([1, 2]);
    await step.release();
    expect(open).toBe(0);
  });

  test('packed rows are the rows, as if each were alone', async () => {
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute: 0, attentionBlocks: 4 });
    const taken = rows.slice(0, 3).map(({ input_ids, labels }, index) => ({
      ...{ index, file: 'rows.jsonl', line: index + 1 },
      ...{ inputIds: Int32Array.from(input_ids), labels: Int32Array.from(labels) },
    }));
    const packed = await step.gradient(toPackedBatch(taken), adapter.parameters);
    const padded = await step.gradient(toPaddedBatch(taken), adapter.parameters);
    expect(packed.tokenRow).toEqual(padded.tokenRow);
    expect(difference(packed.tokenLoss, padded.tokenLoss)).toBeLessThan(1e-5);
    const scale = padded.gradient!.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    expect(difference(packed.gradient!, padded.gradient!) / scale).toBeLessThan(1e-5);
    await step.release();
  });

  test('a token counts in the gradient by its weight, whatever its loss is', async () => {
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute: 0, headRows: 5 });
    const weighted = (weigh: (row: number) => number) =>
      step.gradient({ ...batch, weights: Float32Array.from(plain.tokenRow, weigh) }, adapter.parameters);
    const plain = await step.gradient(batch, adapter.parameters);
    const [ones, first, second, both] = [
      await weighted(() => 1),
      await weighted((row) => (row === 0 ? 1 : 0)),
      await weighted((row) => (row === 0 ? 0 : 1)),
      await weighted((row) => (row === 0 ? 0.25 : -2)),
    ];
    expect(ones).toEqual(plain);
    expect(both.tokenLoss).toEqual(plain.tokenLoss);
    const sum = first.gradient!.map((x, i) => 0.25 * x - 2 * second.gradient![i]!);
    const scale = sum.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    expect(difference(both.gradient!, sum) / scale).toBeLessThan(1e-5);
    await step.release();
  });

  test('a batch is its rows, and a row without supervised tokens changes nothing', async () => {
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute: Infinity });
    const together = await step.gradient(batch, adapter.parameters);
    const alone = await Promise.all(rows.slice(0, 2).map((row) => step.gradient(padded([row]), adapter.parameters)));
    const sum = alone[0]!.gradient!.map((x, i) => x + alone[1]!.gradient![i]!);
    const scale = sum.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    expect(difference(together.gradient!, sum) / scale).toBeLessThan(1e-5);
    const ignored = await step.gradient(
      { ...batch, labels: new Int32Array(batch.labels.length).fill(-100) },
      adapter.parameters,
    );
    expect(ignored.tokenLoss.length).toBe(0);
    expect(ignored.gradient!.every((x) => x === 0)).toBe(true);
    await step.release();
  });
});
