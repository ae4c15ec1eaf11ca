/** Every variant of LoRA against PEFT: losses, logits, gradients, merged weights, whole trainings and answers. Made in float32 on a processor. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { tensorView, type Adapter, type AdapterTensor } from '../adapters/adapter.ts';
import { addDeltas } from '../adapters/delta.ts';
import { readAdapter } from '../adapters/folder.ts';
import type { JobSpec, MetricRow, StepMetrics } from '../contract.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { generate } from '../evaluate/generate.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { runExport } from '../jobs/export.ts';
import { runTrain } from '../jobs/train.ts';
import { openModel } from '../models/open.ts';
import { toProblemValue } from '../problem.ts';
import { openSession } from '../runtime/session.ts';
import { logitsOf } from '../testing/logits.ts';
import { portUntil, silentPort } from '../testing/port.ts';
import type { TokensOfRow } from './examples.ts';
import { toPaddedBatch } from './micro-batch.ts';
import { TrainStep } from './step.ts';

interface Expected {
  readonly loss: number;
  readonly step_losses: number[];
  readonly gradient_norms: number[];
  readonly greedy: { readonly prompt: number[]; readonly tokens: number[] };
}

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'golden-lora-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));

/** Largest difference as a share of `scale`. */
function difference(actual: Float32Array, expected: Float32Array, scale = 1): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((worst, x, i) => Math.max(worst, Math.abs(x - expected[i]!)), 0) / scale;
}
const largest = (values: Float32Array): number => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** The name of a tensor in PEFT's model, which the reference files use: there a magnitude is the weight of a module. */
const referenceName = ({ name }: AdapterTensor): string => name.replace(/lora_magnitude_vector$/, '$&.weight');

function caseOf(name: string) {
  const folder = join(golden, name);
  const json = <T>(file: string): T => JSON.parse(readFileSync(join(folder, file), 'utf8')) as T;
  const tensorsPath = join(folder, 'expected.safetensors');
  const { tensors } = readSafetensors(tensorsPath);
  const model = openModel(join(folder, 'model'));
  const rows = readFileSync(join(folder, 'rows.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(0, 2)
    .map((line, index): TokensOfRow => {
      const { input_ids, labels } = JSON.parse(line) as { input_ids: number[]; labels: number[] };
      return { index, file: '', line: index + 1, inputIds: Int32Array.from(input_ids), labels: Int32Array.from(labels) };
    });
  const batch = toPaddedBatch(rows);
  const positions = batch.lengths.flatMap((length, row) => Array.from({ length }, (_, t) => row * batch.time + t));
  const width = model.spec.vocabularySize;
  return {
    ...{ folder, model, batch, positions },
    adapter: readAdapter(join(folder, 'adapter'), model),
    expected: json<Expected>('expected.json'),
    tensor: (key: string) => readSafetensorsFloat32(tensorsPath, tensors.get(key)!),
    logits(key: string): Float32Array {
      const all = readSafetensorsFloat32(tensorsPath, tensors.get(key)!);
      return Float32Array.from(positions.flatMap((p) => [...all.subarray(p * width, (p + 1) * width)]));
    },
    trainSpec: (out: string, recipe: Record<string, unknown> = {}): Extract<JobSpec, { kind: 'train' }> => ({
      kind: 'train',
      model: { path: join(folder, 'model') },
      data: { paths: [join(folder, 'rows.jsonl')] },
      adapterPath: join(folder, 'adapter'),
      recipe: { ...json<Record<string, unknown>>('recipe.json'), ...recipe },
      out: join(work, out),
      ...{ device: 'auto', skipBadRows: false, resume: false, cacheDir },
    }),
  };
}

function stepsOf(out: string): StepMetrics[] {
  const rows = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return rows.map((line) => JSON.parse(line) as MetricRow).filter((row) => 'loss' in row);
}

const names = [
  ...['lora-rslora', 'lora-dora', 'lora-patterns', 'lora-some-layers', 'lora-head-embed', 'lora-saved-head', 'lora-bias'],
  ...['lora-dora-all', 'lora-gpt2', 'lora-plus', 'lora-tied', 'lora-tied-saved'],
];

describe.each(names)('%s', (name) => {
  const { folder, model, batch, adapter, expected, tensor, logits, trainSpec } = caseOf(name);
  const options = { threads: 2, cacheDir, openSession };

  it.each([0, Infinity])('has the reference loss and gradients, %s blocks recomputed', async (recompute) => {
    const step = await TrainStep.open(model, adapter.shape, { ...options, recompute });
    const { tokenLoss, gradient } = await step.gradient(batch, adapter.parameters);
    const mean = tokenLoss.reduce((sum, x) => sum + x, 0) / tokenLoss.length;
    expect(Math.abs(mean - expected.loss)).toBeLessThan(1e-5);
    for (const part of adapter.shape.tensors) {
      const want = tensor(`grad.${referenceName(part)}`);
      const got = tensorView(gradient!, part).map((x) => x / tokenLoss.length);
      expect(difference(got, want, largest(want)), part.name).toBeLessThan(1e-4);
    }
    const evaluated = await step.evaluate(batch, adapter.parameters);
    expect(difference(evaluated.tokenLoss, tokenLoss)).toBeLessThan(1e-5);
    await step.release();
  });

  it('has the reference logits: with the adapter, without, and merged', async () => {
    const found = (of: typeof model, adapted: Adapter | null) => logitsOf(of, adapted, batch, options);
    expect(difference(await found(model, adapter), logits('logits'))).toBeLessThan(2e-5);
    expect(difference(await found(model, null), logits('base_logits'))).toBeLessThan(2e-5);
    const out = join(work, `${name}-merged`);
    const adapters = [{ path: join(folder, 'adapter'), weight: 1 }];
    const merge = { kind: 'export', format: 'safetensors', quantization: 'f32', proof: false } as const;
    await runExport({ ...merge, model: { path: join(folder, 'model') }, adapters, out, cacheDir }, silentPort);
    expect(difference(await found(openModel(out), null), logits('merged_logits'))).toBeLessThan(2e-5);
  });

  it('trains as the reference does', async () => {
    const spec = trainSpec(name);
    await runTrain(spec, silentPort);
    stepsOf(spec.out).forEach((row, i) => {
      expect(Math.abs(row.loss - expected.step_losses[i]!), `loss of step ${i + 1}`).toBeLessThan(1e-4);
      expect(Math.abs(row.gradientNorm / expected.gradient_norms[i]! - 1), `norm of step ${i + 1}`).toBeLessThan(1e-3);
    });
    const trained = readAdapter(join(spec.out, 'adapter'), model);
    for (const part of trained.shape.tensors) {
      const [was, is] = [tensorView(adapter.parameters, part), tensorView(trained.parameters, part)];
      const should = tensor(`trained.${referenceName(part)}`);
      const distance = Math.sqrt(is.reduce((sum, value, i) => sum + (value - should[i]!) ** 2, 0));
      const moved = Math.sqrt(should.reduce((sum, value, i) => sum + (value - was[i]!) ** 2, 0));
      expect(distance / moved, part.name).toBeLessThan(1e-3);
    }
  });

  it('stopped and resumed leaves the same bytes', async () => {
    const whole = trainSpec(`${name}-whole`, { shuffle: true });
    await runTrain(whole, silentPort);
    const parts = trainSpec(`${name}-parts`, { shuffle: true });
    expect(await runTrain(parts, portUntil(parts.out, 1)).catch(toProblemValue)).toMatchObject({ code: 'stopped' });
    await runTrain({ ...parts, resume: true }, silentPort);
    const bytes = (out: string) => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
    expect(bytes(parts.out).equals(bytes(whole.out))).toBe(true);
  });

  it('answers as the reference does, also when halves of the adapter are added up', async () => {
    const session = await GenerationSession.open(model, options);
    const { prompt, tokens } = expected.greedy;
    const settings = { maxTokens: tokens.length, temperature: 0, topP: 1, topK: 0, seed: 0, ignoreStop: true };
    const answer = { promptTokens: prompt, settings, contextLength: model.spec.contextLength, tokenizer: null };
    await session.useAdapters([{ adapter, weight: 1 }]);
    expect((await generate(session, answer)).tokens).toEqual(tokens);
    session.reset();
    const once = Float32Array.from(await session.feed(prompt));
    await session.useAdapters([
      { adapter, weight: 0.25 },
      { adapter, weight: 0.75 },
    ]);
    expect(difference(await session.feed(prompt), once)).toBeLessThan(2e-5);
    await session.useAdapters([]);
    const base = await session.feed([...batch.inputIds.subarray(0, 4)]);
    const width = model.spec.vocabularySize;
    expect(difference(base, logits('base_logits').subarray(3 * width, 4 * width))).toBeLessThan(2e-5);
    await session.release();
  });
});

describe.each(['pissa', 'olora'])('%s', (initialization) => {
  const folder = join(golden, initialization);
  const json = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>;
  const model = openModel(join(folder, 'model'));
  const spec = (out: string, recipe: Record<string, unknown> = {}): Extract<JobSpec, { kind: 'train' }> => ({
    ...{
      kind: 'train',
      model: { path: join(folder, 'model') },
      data: { paths: [join(folder, 'rows.jsonl')] },
      adapterPath: null,
    },
    ...{
      recipe: { ...json('recipe.json'), ...recipe },
      out: join(work, out),
      device: 'auto',
      skipBadRows: false,
      resume: false,
    },
    cacheDir,
  });

  it('trains as the reference does and is written as a plain adapter', async () => {
    const run = spec(initialization);
    await runTrain(run, silentPort);
    const expected = json('expected.json') as unknown as Expected;
    stepsOf(run.out).forEach((row, i) => {
      expect(Math.abs(row.loss - expected.step_losses[i]!), `loss of step ${i + 1}`).toBeLessThan(1e-4);
      expect(Math.abs(row.gradientNorm / expected.gradient_norms[i]! - 1), `norm of step ${i + 1}`).toBeLessThan(1e-3);
    });
    const adapter = readAdapter(join(run.out, 'adapter'), model);
    expect(adapter.config.rank).toBe(2 * (json('recipe.json')['rank'] as number));
    const path = join(folder, 'expected.safetensors');
    for (const [key, tensor] of readSafetensors(path).tensors) {
      const module = key.replace('delta.', '').replace('.weight', '');
      const should = readSafetensorsFloat32(path, tensor);
      const is = new Float32Array(should.length);
      addDeltas(is, module, [{ adapter, weight: 1 }]);
      expect(difference(is, should, largest(should)), module).toBeLessThan(5e-3);
    }
  });

  it('stopped and resumed leaves the same bytes, also with dropout', async () => {
    const recipe = { shuffle: true, dropout: 0.2, neftuneNoiseAlpha: 5 };
    const whole = spec(`${initialization}-whole`, recipe);
    await runTrain(whole, silentPort);
    const parts = spec(`${initialization}-parts`, recipe);
    expect(await runTrain(parts, portUntil(parts.out, 1)).catch(toProblemValue)).toMatchObject({ code: 'stopped' });
    await runTrain({ ...parts, resume: true }, silentPort);
    const bytes = (out: string) => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
    expect(bytes(parts.out).equals(bytes(whole.out))).toBe(true);
  });
});
