/** A base in few bits: the same losses, gradients and words as a float32 model of the numbers that are left of it. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { packedFormat } from '../formats/quants/pack.ts';
import { GgufWriter, readGguf, readGgufFloat32, type GgufWriteType } from '../formats/gguf.ts';
import { Graph } from '../graph/graph.ts';
import type { GraphParts } from '../graph/node.ts';
import { lowered } from '../graph/lower.ts';
import { encodeModel } from '../graph/onnx.ts';
import { packedEnds, packedReading, weightsOf } from '../decoder/weights.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { specFromConfig } from '../models/families/index.ts';
import { openModel, quantizedModel, type OpenModel } from '../models/open.ts';
import { fromGguf, inModelLayout, StoredWeights, type BaseQuantization, type WeightLocation } from '../models/weights.ts';
import { interleavedRows } from '../models/layout.ts';
import { modelTensors } from '../models/spec.ts';
import { defaultRecipe, type RecipeInput } from '../recipe.ts';
import { checkRecipe } from '../recipe/check.ts';
import { openSession } from '../runtime/session.ts';
import { logitsOf } from '../testing/logits.ts';
import { readAdapter } from '../adapters/folder.ts';
import { newAdapter } from '../adapters/initial.ts';
import { bytesOfWeights } from './memory.ts';
import type { MicroBatch } from './micro-batch.ts';
import { buildStep } from './step-graph.ts';
import { TrainStep } from './step.ts';

const work = mkdtempSync(join(tmpdir(), 'quantized-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));
const golden = join(import.meta.dirname, '../golden');
const options = { threads: 2, cacheDir, openSession };

/** A float32 model of exactly the numbers that another reads. */
function asFloat32({ spec, weights }: Pick<OpenModel, 'spec' | 'weights'>, name: string) {
  const path = join(work, name);
  const parts = weights.names.map((tensor) => Buffer.from(weights.read(tensor).buffer));
  writeFileSync(path, Buffer.concat(parts));
  let offset = 0;
  const files = new Map<string, WeightLocation>();
  for (const [i, tensor] of weights.names.entries()) {
    files.set(tensor, { dtype: 'float32', path, offset, length: parts[i]!.length, shape: weights.shape(tensor) });
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
  const adapter = readAdapter(join(folder, 'adapter'), model);
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
    for (const recompute of [0, 1, Infinity]) {
      const step = await TrainStep.open(quantized, adapter.shape, { ...options, recompute });
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
    const expected = (await logitsOf(quantized, adapter, batch, options)).slice(-quantized.spec.vocabularySize);
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
    const ends = packedEnds(
      g,
      { ...spec, tiedEmbeddings: false, modules: { ...spec.modules, output: 'w' } },
      files,
      () => false,
    );
    g.output('rows of halves', ends.rows('w', g.constant('int64', [3], [5, 0, 13]))!);
    g.output('y in parts', ends.head(g, g.constant('float32', [1, 512], [...x]), null, null)!);
    g.output('y', packed.linear('w', g.constant('float32', [1, 512], [...x]), null)!);
    const session = await openSession(encodeModel(g), { threads: 1, provider: 'cpu', prepack: true });
    const { w, rows, y, ...ofEnds } = await session.run({});
    await session.release();
    expect(w!.data).toEqual(expected);
    const row = (i: number): Float32Array => expected.subarray(i * 512, (i + 1) * 512);
    expect([...(rows!.data as Float32Array)]).toEqual([...row(5), ...row(0), ...row(5)]);
    expect([...(ofEnds['rows of halves']!.data as Float32Array)]).toEqual([...row(5), ...row(0), ...row(13)]);
    const product = Float32Array.from({ length: 16 }, (_, i) => row(i).reduce((sum, value, k) => sum + value * x[k]!, 0));
    // Numbers and minima nearly cancel each other.
    expect(worst(y!.data as Float32Array, product)).toBeLessThan(1e-5);
    expect(worst(ofEnds['y in parts']!.data as Float32Array, product)).toBeLessThan(1e-5);
  });
});

/** A model of made-up numbers as a GGUF of this type has them. */
function storedModel(config: Record<string, unknown>, type: GgufWriteType, name: string) {
  const sizes = { hidden_size: 64, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2, vocab_size: 150 };
  const spec = specFromConfig({ max_position_embeddings: 64, ...sizes, ...config }, 'config.json');
  const path = join(work, `${name}.gguf`);
  const tensors = modelTensors(spec).map(({ name: tensor, shape }) => ({
    ...{ name: tensor, shape },
    type: shape.length === 2 ? type : ('F32' as const),
  }));
  const writer = new GgufWriter(path, new Map(), tensors);
  for (const [k, { shape }] of tensors.entries())
    writer.write(
      Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        (_, i) => Math.sin((i + 1) * (12.9898 + k)) / 4 + (k % 2) / 9,
      ),
    );
  writer.finish();
  const file = readGguf(path);
  const stored = new Map([...file.tensors].map(([tensor, found]) => [tensor, fromGguf(path, found)]));
  const matrices = new Set(tensors.flatMap((tensor) => (tensor.shape.length === 2 ? [tensor.name] : [])));
  return { spec, weights: new StoredWeights(stored).quantized('stored', matrices), bytes: statSync(path).size };
}

describe('embedding and head as they are stored', () => {
  const ids = Int32Array.from({ length: 20 }, (_, i) => (i * 53) % 150);
  const batch: MicroBatch = { inputIds: ids, labels: ids, batch: 1, time: 20, lengths: [20] };
  const llama = { model_type: 'llama', tie_word_embeddings: true };
  const untied = { ...llama, tie_word_embeddings: false };

  it.each<[label: string, type: GgufWriteType, config: Record<string, unknown>, recipe: RecipeInput]>([
    ['tied', 'Q4_1', llama, {}],
    ['a head of its own', 'Q8_0', untied, {}],
    ['an odd number of tokens', 'Q4_0', { ...untied, vocab_size: 151 }, {}],
    ['a capped head', 'Q5_1', { model_type: 'gemma2', head_dim: 32, num_key_value_heads: 2, final_logit_softcapping: 3 }, {}],
    ['an adapted head and embedding', 'Q4_1', untied, { targetModules: ['q_proj', 'lm_head', 'embed_tokens'] }],
    ['an adapted head that drops', 'Q4_0', untied, { targetModules: ['lm_head'], dropout: 0.25 }],
    ['DoRA on both', 'Q4_1', untied, { targetModules: ['lm_head', 'embed_tokens'], dora: true }],
    ['a trained head', 'Q4_1', untied, { targetModules: ['q_proj'], modulesToSave: ['lm_head'] }],
    ['a trained embedding', 'Q8_0', llama, { targetModules: ['q_proj'], modulesToSave: ['embed_tokens'] }],
  ])('%s: the same losses and gradients', async (label, type, config, input) => {
    const { spec, weights } = storedModel(config, type, label);
    const checked = checkRecipe({ rank: 2, ...input });
    if ('errors' in checked) throw new Error(checked.errors[0]!.message);
    const { recipe } = checked;
    const { shape, parameters } = newAdapter(recipe, { spec, weights }, null);
    const moved = parameters.map((x, i) => x + Math.sin(i) / 20);
    const results = [];
    for (const model of [asFloat32({ spec, weights }, label), { spec, weights }]) {
      const step = await TrainStep.open(model, shape, { ...options, recompute: 0, dropout: recipe.dropout, headRows: 7 });
      results.push({ evaluated: await step.evaluate(batch, moved), trained: await step.gradient(batch, moved) });
      await step.release();
    }
    const [expected, actual] = results;
    expect(worst(actual!.evaluated.tokenLoss, expected!.evaluated.tokenLoss)).toBeLessThan(2e-6);
    expect(worst(actual!.trained.tokenLoss, expected!.trained.tokenLoss)).toBeLessThan(2e-6);
    expect(worst(actual!.trained.gradient!, expected!.trained.gradient!)).toBeLessThan(2e-5);
  });

  it('an accelerator reads both back as a whole', () => {
    const { spec, weights } = storedModel(llama, 'Q4_1', 'for an accelerator');
    const { shape } = newAdapter(defaultRecipe(), { spec, weights }, null);
    const graph = buildStep(spec, weights.locations(''), shape, 'gradient', { recompute: 0, provider: 'webgpu' });
    const sizes = { batch: 1, time: 20, keys: 20, tokens: 20, rows: 19, chunks: 1, chunkRows: 19 };
    const { nodes } = lowered(graph, sizes);
    expect(nodes.filter(({ type, inputs: [x] }) => type === 'Gather' && x!.dtype === 'uint8')).toEqual([]);
  });

  it.each<GgufWriteType>(['Q4_0', 'Q4_1', 'Q8_0'])('%s: a step reads hardly more than the file', (type) => {
    const { spec, weights, bytes } = storedModel({ ...llama, vocab_size: 1500 }, type, `size of ${type}`);
    const { shape } = newAdapter(defaultRecipe(), { spec, weights }, null);
    const graph = buildStep(spec, weights.locations(''), shape, 'gradient', { recompute: 0 });
    expect(bytesOfWeights(graph) / bytes).toBeLessThan(1.3);
    // Read back it is never there as a whole.
    const whole = (g: GraphParts): boolean =>
      g.nodes.some(
        ({ outputs, attributes: { body } }) =>
          outputs.some(({ dtype, shape: [rows, columns] }) => dtype === 'float32' && rows === 1500 && columns === 64) ||
          (body !== undefined && 'graph' in body && whole(body.graph)),
      );
    expect(whole(graph)).toBe(false);
  });
});
