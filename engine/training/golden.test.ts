/** Whole trainings against transformers + PEFT + torch: engine/golden, made in float32 on a processor. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tensorView } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import type { JobSpec, MetricRow, StepMetrics } from '../contract.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { runEvaluate } from '../jobs/evaluate.ts';
import { runTrain } from '../jobs/train.ts';
import { openModel } from '../models/open.ts';
import { toProblemValue } from '../problem.ts';
import { embeddedModelPath } from '../resources.ts';
import { portUntil, silentPort } from '../testing/port.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;
interface Expected {
  readonly loss: number;
  readonly step_losses: number[];
  readonly learning_rates: number[];
  readonly gradient_norms: number[];
  readonly supervised_tokens: number[];
}

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'golden-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));

function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(golden, ...path), 'utf8')) as T;
}
function readMetrics(out: string): MetricRow[] {
  return readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRow);
}
function stepsOf(rows: readonly MetricRow[]): StepMetrics[] {
  return rows.filter((row) => 'loss' in row);
}

function trainSpec(name: string, modelPath: string, rows: string, out: string): TrainSpec {
  return {
    kind: 'train',
    model: { path: modelPath },
    data: { paths: [join(golden, name, rows)] },
    adapterPath: join(golden, name, 'adapter'),
    recipe: readJson(name, 'recipe.json'),
    out: join(work, out),
    device: 'auto',
    skipBadRows: false,
    resume: false,
    cacheDir,
  };
}

function expectSteps(steps: readonly StepMetrics[], expected: Expected): void {
  expect(steps.map((row) => row.step)).toEqual(expected.step_losses.map((_, i) => i + 1));
  expect(steps.map((row) => row.supervisedTokens)).toEqual(expected.supervised_tokens);
  steps.forEach((row, i) => {
    expect(Math.abs(row.loss - expected.step_losses[i]!), `loss of step ${i + 1}`).toBeLessThan(1e-4);
    const norm = expected.gradient_norms[i]!;
    expect(Math.abs(row.gradientNorm - norm) / norm, `gradient norm of step ${i + 1}`).toBeLessThan(1e-3);
    expect(row.learningRate).toBeCloseTo(expected.learning_rates[i]!, 12);
  });
}

/** The distance of every trained tensor from the reference's, as a share of how far training moved it. */
function expectTrained(before: string, after: string, modelPath: string, expected: (name: string) => Float32Array): void {
  const model = openModel(modelPath);
  const start = readAdapter(before, model);
  const end = readAdapter(after, model);
  for (const tensor of start.shape.tensors) {
    const [was, is, should] = [tensorView(start.parameters, tensor), tensorView(end.parameters, tensor), expected(tensor.name)];
    const distance = is.reduce((sum, value, i) => sum + (value - should[i]!) ** 2, 0);
    const moved = should.reduce((sum, value, i) => sum + (value - was[i]!) ** 2, 0);
    expect(Math.sqrt(distance / moved), tensor.name).toBeLessThan(1e-3);
  }
}

describe.each(['llama-tied', 'llama3-rope', 'lora-some-layers'])('%s', (name) => {
  const modelPath = join(golden, name, 'model');
  const expected = readJson<Expected>(name, 'expected.json');
  const tensorsPath = join(golden, name, 'expected.safetensors');

  it('trains as the reference does', async () => {
    const spec = trainSpec(name, modelPath, 'rows.jsonl', name);
    await runTrain(spec, silentPort);
    expectSteps(stepsOf(readMetrics(spec.out)), expected);
    const { tensors } = readSafetensors(tensorsPath);
    expectTrained(join(golden, name, 'adapter'), join(spec.out, 'adapter'), modelPath, (tensor) =>
      readSafetensorsFloat32(tensorsPath, tensors.get(`trained.${tensor}`)!),
    );
  });

  it('stopped and resumed leaves the same bytes', async () => {
    const whole = trainSpec(name, modelPath, 'rows.jsonl', `${name}-whole`);
    await runTrain({ ...whole, recipe: { ...whole.recipe, shuffle: true } }, silentPort);
    const parts = trainSpec(name, modelPath, 'rows.jsonl', `${name}-parts`);
    const shuffled = { ...parts, recipe: { ...parts.recipe, shuffle: true } };
    const stopped = await runTrain(shuffled, portUntil(shuffled.out, 1)).catch(toProblemValue);
    expect(stopped).toMatchObject({ code: 'stopped' });
    await runTrain({ ...shuffled, resume: true }, silentPort);
    const bytes = (out: string) => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
    expect(bytes(parts.out).equals(bytes(whole.out))).toBe(true);
    const numbers = (out: string) =>
      stepsOf(readMetrics(out)).map(({ step, loss, gradientNorm }) => [step, loss, gradientNorm]);
    expect(numbers(parts.out)).toEqual(numbers(whole.out));
  });
});

describe('smollm2-json, the real model from its GGUF', () => {
  const name = 'smollm2-json';
  const expected = readJson<Expected & Record<'eval_before' | 'eval_after', [number, number[]]>>(name, 'expected.json');
  const out = join(work, name);
  const evaluateWith = (adapterPath: string) =>
    runEvaluate(
      {
        kind: 'evaluate',
        model: { path: embeddedModelPath() },
        data: { paths: [join(golden, name, 'eval.rows.jsonl')] },
        adapterPath,
        cacheDir,
      },
      silentPort,
    );

  beforeAll(async () => {
    await runTrain(trainSpec(name, embeddedModelPath(), 'train.rows.jsonl', name), silentPort);
  }, 300_000);

  // The reference is float32 itself. In float64 (float64.py beside it) its losses turn out to be up to 7e-6 off and its trained tensors
  // 1.8e-4 of the update, 7 of 420 more than 1e-3, because its softmax over 49,152 words loses small terms. Ours are 3e-7 and 2e-5 off,
  // no tensor more than 3e-4. So the losses are compared with float64, and of the tensors the twelve where the reference is worst.
  const exactLosses = [
    ...[0.5469747156423893, 0.45457163515952587, 0.5153186281487527, 0.19774962682074596],
    ...[0.11356182499674895, 0.2063492704879209, 0.1161965315247202, 0.039598220285155514],
  ];

  it('trains as the reference does', () => {
    const steps = stepsOf(readMetrics(out));
    expectSteps(steps, expected);
    for (const { step, loss } of steps)
      expect(Math.abs(loss - exactLosses[step - 1]!), `loss of step ${step}`).toBeLessThan(2e-6);
    const read = (path: string) => {
      const { tensors } = readSafetensors(path);
      return (tensor: string) => (tensors.has(tensor) ? readSafetensorsFloat32(path, tensors.get(tensor)!) : null);
    };
    const exact = read(join(golden, name, 'float64.safetensors'));
    const trained = read(join(golden, name, 'trained', 'adapter_model.safetensors'));
    expectTrained(
      join(golden, name, 'adapter'),
      join(out, 'adapter'),
      embeddedModelPath(),
      (tensor) => exact(tensor) ?? trained(tensor)!,
    );
  });

  it.each([
    ['before', join(golden, name, 'adapter'), expected.eval_before],
    ['after', join(out, 'adapter'), expected.eval_after],
  ] as const)('has the reference loss on every evaluation row %s', async (_, adapter, [loss, rows]) => {
    const result = await evaluateWith(adapter);
    expect(Math.abs(result.measures.loss!.value - loss)).toBeLessThan(1e-4);
    result.rows.forEach((row, i) => expect(Math.abs(row.measures.loss! - rows[i]!)).toBeLessThan(1e-3));
  });
});
