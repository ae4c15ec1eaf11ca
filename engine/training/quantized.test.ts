/** A base in few bits: the same losses, gradients and words as a float32 model of the numbers that are left of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { packedFormat } from '../formats/quants/pack.ts';
import { GgufWriter, readGguf, readGgufFloat32, type GgufWriteType } from '../formats/gguf.ts';
import { Graph } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { packedReading, weightsOf } from '../models/decoder.ts';
import { GenerationSession } from '../models/generation.ts';
import { openModel, quantizedModel, type OpenModel } from '../models/open.ts';
import { fromGguf, inModelLayout, StoredWeights, type BaseQuantization, type WeightLocation } from '../models/weights.ts';
import { interleavedRows } from '../models/layout.ts';
import { openSession } from '../runtime/session.ts';
import { readAdapter } from './lora/folder.ts';
import { TrainStep, type MicroBatch } from './step.ts';

const work = mkdtempSync(join(tmpdir(), 'quantized-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));
const golden = join(import.meta.dirname, '../golden');
const options = { threads: 2, cacheDir, openSession };

/** A float32 model of exactly the numbers that another reads. */
function asFloat32({ spec, weights }: OpenModel, name: string) {
  const path = join(work, name);
  const parts = weights.names.map((tensor) => Buffer.from(weights.read(tensor).buffer));
  writeFileSync(path, Buffer.concat(parts));
  let offset = 0;
  const files = new Map<string, WeightLocation>();
  for (const [i, tensor] of weights.names.entries()) {
    files.set(tensor, { path, offset, length: parts[i]!.length, shape: weights.shape(tensor) });
    offset += parts[i]!.length;
  }
  return { spec, weights: { files: () => Promise.resolve(files) } };
}

function firstRow(folder: string): MicroBatch {
  const row = JSON.parse(readFileSync(join(folder, 'rows.jsonl'), 'utf8').split('\n')[0]!) as {
    input_ids: number[];
    labels: number[];
  };
  const time = row.input_ids.length;
  return { inputIds: Int32Array.from(row.input_ids), labels: Int32Array.from(row.labels), batch: 1, time, lengths: [time] };
}

const worst = (actual: Float32Array, expected: Float32Array): number => {
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return actual.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0) / largest;
};

describe.each(['llama-tied', 'qwen2', 'lora-dora'])('%s', (name) => {
  const folder = join(golden, name);
  const model = openModel(join(folder, 'model'));
  const adapter = readAdapter(join(folder, 'adapter'), model.spec);
  const batch = firstRow(folder);

  it.each<BaseQuantization>(['4bit', '8bit'])('in %s has the gradient of what is left of its numbers', async (quantization) => {
    const quantized = quantizedModel(model, quantization);
    const packed = [...(await quantized.weights.files(cacheDir)).values()].filter((location) => 'bits' in location);
    expect(packed.length).toBeGreaterThan(7);
    const dense = await TrainStep.open(asFloat32(quantized, `${name}.${quantization}`), adapter.shape, {
      ...options,
      recompute: 0,
    });
    const expected = await dense.gradient(batch, adapter.parameters);
    await dense.release();
    for (const [recompute, prepack] of [
      [0, false],
      [1, false],
      [Infinity, true],
    ] as const) {
      const step = await TrainStep.open(quantized, adapter.shape, { ...options, recompute, prepack });
      const actual = await step.gradient(batch, adapter.parameters);
      await step.release();
      expect(worst(actual.tokenLoss, expected.tokenLoss)).toBeLessThan(2e-6);
      expect(worst(actual.gradient!, expected.gradient!)).toBeLessThan(2e-5);
    }
    // It is another model than the one that was not rounded.
    const full = await TrainStep.open(model, adapter.shape, { ...options, recompute: 0 });
    const rounded = worst((await full.gradient(batch, adapter.parameters)).tokenLoss, expected.tokenLoss);
    await full.release();
    expect(rounded).toBeGreaterThan(quantization === '4bit' ? 1e-3 : 1e-5);
  });

  it('generates from packed matrices what it trains on', async () => {
    const quantized = quantizedModel(model, '4bit');
    const step = await TrainStep.open(quantized, adapter.shape, { ...options, recompute: 0 });
    const expected = await step.logits(batch, [batch.time - 1], adapter.parameters);
    await step.release();
    const session = await GenerationSession.open(quantized, options);
    await session.useAdapters([{ adapter, weight: 1 }]);
    const tokens = [...batch.inputIds];
    await session.feed(tokens.slice(0, -1));
    expect(worst(await session.feed(tokens.slice(-1)), expected)).toBeLessThan(2e-5);
    await session.release();
  });
});

describe.each<GgufWriteType>(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K'])('%s as it is stored', (type) => {
  it('is read by the runtime with exactly its values, rows in the order of the model', async () => {
    const shape = [16, 512];
    const path = join(work, `${type}.gguf`);
    const values = Float32Array.from({ length: 16 * 512 }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 37) / 9));
    const writer = new GgufWriter(path, new Map(), [{ name: 'w', type, shape }]);
    writer.write(values);
    writer.finish();
    const tensor = readGguf(path).tensors.get('w')!;
    const stored = inModelLayout(fromGguf(path, tensor), interleavedRows(2), shape);
    const expected = stored.load();
    expect(expected).not.toEqual(readGgufFloat32(path, tensor));

    const weights = new StoredWeights(new Map([['w.weight', stored]])).quantized('stored', new Set(['w.weight']));
    expect(weights.read('w.weight')).toEqual(expected);
    const files = await weights.files(cacheDir);
    expect(files.get('w.weight')).toMatchObject({ bits: packedFormat(type)!.bits });
    const { spec } = openModel(join(golden, 'llama-tied', 'model'));
    const g = new Graph();
    g.output('w', weightsOf(g, spec, files)('w.weight'));
    const packed = packedReading(g, spec, files, { lora: () => null }, () => true);
    g.output('rows', packed.rows('w', g.constant('int64', [3], [5, 0, 5]))!);
    const x = Float32Array.from({ length: 512 }, (_, i) => Math.cos(i * 4.1));
    g.output('y', packed.linear('w', g.constant('float32', [1, 512], [...x]), null)!);
    const session = await openSession(encodeModel(g), { threads: 1, provider: 'cpu', prepack: true });
    const { w, rows, y } = await session.run({});
    await session.release();
    expect(w!.data).toEqual(expected);
    const row = (i: number): Float32Array => expected.subarray(i * 512, (i + 1) * 512);
    expect([...(rows!.data as Float32Array)]).toEqual([...row(5), ...row(0), ...row(5)]);
    const product = Float32Array.from({ length: 16 }, (_, i) => row(i).reduce((sum, value, k) => sum + value * x[k]!, 0));
    // Numbers and minima nearly cancel each other.
    expect(worst(y!.data as Float32Array, product)).toBeLessThan(1e-5);
  });
});
