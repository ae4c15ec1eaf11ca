/** A model whose blocks are of different sizes: what it computes, trains and exports. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { newAdapter } from '../adapters/initial.ts';
import { attentionRefusal } from '../export/onnx/attention.ts';
import { buildOnnxGraph } from '../export/onnx/graph.ts';
import { OnnxRunner } from '../export/onnx/run.ts';
import { WeightStore } from '../export/onnx/weights.ts';
import { encodeModel } from '../graph/onnx.ts';
import { defaultRecipe } from '../recipe.ts';
import { openSession } from '../runtime/session.ts';
import { mixedModel, mixedSpec } from '../testing/mixed-blocks.ts';
import { MemoryEstimator } from '../training/memory.ts';
import { TrainStep } from '../training/step.ts';
import { GenerationSession } from './generation.ts';
import { LogitsRunner } from './logits.ts';

const folder = mkdtempSync(join(tmpdir(), 'mixed-blocks-'));
afterAll(() => rmSync(folder, { recursive: true }));
const model = mixedModel(folder);
const options = { threads: 1, cacheDir: folder, openSession };
const tokens = [5, 17, 3, 60, 41, 2, 2, 33, 8];

async function expectedLogits(): Promise<Float32Array> {
  const runner = await LogitsRunner.open(model, [], options);
  const logits = await runner.run(Int32Array.from(tokens), [...tokens.keys()], runner.feeds([]));
  await runner.release();
  return logits;
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

test('generation keeps the keys and values of each block by its own sizes', async () => {
  const expected = await expectedLogits();
  const session = await GenerationSession.open(model, options);
  const width = mixedSpec.vocabularySize;
  for (const [start, end] of [
    [0, 4],
    [4, 5],
    [5, 9],
  ] as const) {
    const found = await session.feed(tokens.slice(start, end));
    expect(largestDifference(found, expected.subarray((end - 1) * width, end * width))).toBeLessThan(1e-5);
  }
  await session.release();
});

test('the exported graph computes the same, and is refused where programs know one size of keys and values', async () => {
  const store = new WeightStore('model.onnx_data', model.spec, model.weights, 'f32');
  const graph = buildOnnxGraph(model.spec, store);
  mkdirSync(join(folder, 'onnx'));
  const data = new Uint8Array(store.size);
  for (const { offset, read } of store.planned) data.set(read(), offset);
  writeFileSync(join(folder, 'onnx/model.onnx_data'), data);
  writeFileSync(
    join(folder, 'onnx/model.onnx'),
    encodeModel(graph, (path) => path),
  );
  const runner = await OnnxRunner.open(folder, 'f32', model, [], options);
  const found = await runner.logits(Int32Array.from(tokens), [...tokens.keys()]);
  await runner.release();
  expect(largestDifference(found, await expectedLogits())).toBeLessThan(1e-5);
  expect(attentionRefusal(model.spec)?.message).toMatch(/2 heads of 8, 1 heads of 16/);
});

test('the gradient is that of the loss, and memory is planned', async () => {
  const adapter = newAdapter({ ...defaultRecipe(), rank: 2 }, model, null);
  const inputIds = Int32Array.from(tokens);
  const batch = { inputIds, labels: inputIds, batch: 1, time: tokens.length, lengths: [tokens.length] };
  const step = await TrainStep.open(model, adapter.shape, { ...options, recompute: 2 });
  // B begins at 0, where A has no gradient.
  const at = adapter.parameters.map((_, i) => 0.02 * Math.sin(1.7 * i));
  const { gradient } = await step.gradient(batch, at);
  const direction = at.map((_, i) => Math.cos(2.3 * i));
  const loss = async (by: number): Promise<number> => {
    const { tokenLoss } = await step.evaluate(
      batch,
      at.map((value, i) => value + by * direction[i]!),
    );
    return tokenLoss.reduce((sum, one) => sum + one, 0);
  };
  const slope = ((await loss(1e-3)) - (await loss(-1e-3))) / 2e-3;
  const along = gradient!.reduce((sum, value, i) => sum + value * direction[i]!, 0);
  await step.release();
  expect(Math.abs(along / slope - 1)).toBeLessThan(5e-3);
  const { activations } = await new MemoryEstimator(model).estimate({ ...defaultRecipe(), packing: false }, tokens.length);
  expect(activations).toBeGreaterThan(0);
});
