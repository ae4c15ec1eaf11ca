/**
 * Runs one case of engine/golden through everything that the engine does with a model, and measures how far each number is from
 * that of transformers and PEFT.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorView, type Adapter } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import type { JobSpec, MetricRow, StepMetrics } from '../contract.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { runExport } from '../jobs/export.ts';
import { runTrain } from '../jobs/train.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { openSession } from '../runtime/session.ts';
import type { MicroBatch } from '../training/micro-batch.ts';
import { TrainStep } from '../training/step.ts';
import { logitsOf } from './logits.ts';
import { silentPort } from './port.ts';

/** Gives the largest differences from the reference, relative where the limit is relative. */
export interface Differences {
  readonly logits: number;
  readonly baseLogits: number;
  readonly mergedLogits: number;
  readonly loss: number;
  /** Gives the difference as a share of each tensor's largest element. */
  readonly gradients: number;
  readonly stepLosses: number;
  /** Gives a relative difference. */
  readonly gradientNorms: number;
  /**
   * Gives the distance from the reference's trained tensors as a share of how far training moved them, for the worst tensor.
   */
  readonly trained: number;
  /** Counts the greedy tokens that differ from the reference's. */
  readonly tokens: number;
}

/** Limits the differences to what rounding in float32 explains. The reference differs from itself by a quarter of them. */
export const limits: Differences = {
  logits: 2e-5,
  baseLogits: 2e-5,
  mergedLogits: 2e-5,
  loss: 1e-5,
  gradients: 1e-4,
  stepLosses: 1e-4,
  gradientNorms: 1e-3,
  trained: 1e-3,
  tokens: 1,
};

interface Expected {
  readonly loss: number;
  readonly step_losses: readonly number[];
  readonly gradient_norms: readonly number[];
  readonly greedy: { readonly prompt: readonly number[]; readonly tokens: readonly number[] };
}
interface Row {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}

/** Measures the case in `folder`. `source` is `model` or `model.gguf`, `work` an empty folder. */
export async function measureCase(folder: string, source: string, work: string): Promise<Differences> {
  const modelPath = join(folder, source);
  const adapterPath = join(folder, 'adapter');
  const cacheDir = join(work, 'cache');
  const model = openModel(modelPath);
  const adapter = readAdapter(adapterPath, model);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
  const reference = readReference(join(folder, 'expected.safetensors'));
  const rows = readFileSync(join(folder, 'rows.jsonl'), 'utf8').trim().split('\n').slice(0, 2);
  const batch = padded(rows.map((line) => JSON.parse(line) as Row));

  const { mean, gradients } = await firstStep(model, adapter, batch, cacheDir);
  const steps = await train(folder, modelPath, work);
  const trained = readAdapter(join(work, 'run', 'adapter'), model);
  const merge = { kind: 'export', format: 'safetensors', quantization: 'f32', proof: false } as const;
  const adapters = [{ path: adapterPath, weight: 1 }];
  const merged = await runExport(
    { ...merge, model: { path: modelPath }, adapters, cacheDir, out: join(work, 'merged') },
    silentPort,
  );
  const tensors = adapter.shape.tensors;
  const off = async (of: OpenModel, adapted: Adapter | null, name: string): Promise<number> =>
    logitsOff(await logitsOf(of, adapted, batch, { threads: 2, cacheDir, openSession }), reference(name), batch, model);
  return {
    logits: await off(model, adapter, 'logits'),
    baseLogits: await off(model, null, 'base_logits'),
    mergedLogits: await off(openModel(merged.path), null, 'merged_logits'),
    loss: Math.abs(mean - expected.loss),
    gradients: worst(tensors, (tensor) => {
      const want = reference(`grad.${tensor.name}`);
      return largest(tensorView(gradients, tensor), want) / largest(want);
    }),
    stepLosses: worst(steps, (row, i) => Math.abs(row.loss - expected.step_losses[i]!)),
    gradientNorms: worst(steps, (row, i) => Math.abs(row.gradientNorm / expected.gradient_norms[i]! - 1)),
    trained: worst(tensors, (tensor) => {
      const [was, is] = [adapter, trained].map(({ parameters }) => tensorView(parameters, tensor));
      const should = reference(`trained.${tensor.name}`);
      return distance(is!, should) / distance(was!, should);
    }),
    tokens: await wrongTokens(model, adapter, expected.greedy, cacheDir),
  };
}

/** Returns a tensor of the reference by name. DoRA's magnitudes end in `.weight` there. */
function readReference(path: string): (name: string) => Float32Array {
  const { tensors } = readSafetensors(path);
  return (name) => readSafetensorsFloat32(path, (tensors.get(name) ?? tensors.get(`${name}.weight`))!);
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

/** Returns the mean loss of the batch, and the gradient of that mean. */
async function firstStep(model: OpenModel, adapter: Adapter, batch: MicroBatch, cacheDir: string) {
  const step = await TrainStep.open(model, adapter.shape, { recompute: Infinity, threads: 2, cacheDir, openSession });
  const { tokenLoss, gradient } = await step.gradient(batch, adapter.parameters);
  await step.release();
  const count = tokenLoss.length;
  return { mean: tokenLoss.reduce((sum, x) => sum + x, 0) / count, gradients: gradient!.map((x) => x / count) };
}

/** Returns the largest difference where there is no padding. */
function logitsOff(actual: Float32Array, expected: Float32Array, { time, lengths }: MicroBatch, { spec }: OpenModel): number {
  const width = spec.vocabularySize;
  let offset = 0;
  return worst(lengths, (length, row) => {
    const found = actual.subarray(offset, (offset += length * width));
    return largest(found, expected.subarray(row * time * width, (row * time + length) * width));
  });
}

async function train(folder: string, modelPath: string, work: string): Promise<StepMetrics[]> {
  const spec: Extract<JobSpec, { kind: 'train' }> = {
    kind: 'train',
    model: { path: modelPath },
    data: { paths: [join(folder, 'rows.jsonl')] },
    adapterPath: join(folder, 'adapter'),
    recipe: JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')) as Record<string, unknown>,
    out: join(work, 'run'),
    device: 'auto',
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  };
  await runTrain(spec, silentPort);
  const lines = readFileSync(join(work, 'run', 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as MetricRow).filter((row): row is StepMetrics => 'loss' in row);
}

async function wrongTokens(
  model: OpenModel,
  adapter: Adapter,
  { prompt, tokens }: Expected['greedy'],
  cacheDir: string,
): Promise<number> {
  const session = await GenerationSession.open(model, { threads: 2, cacheDir, openSession });
  await session.useAdapters([{ adapter, weight: 1 }]);
  let logits = await session.feed(prompt);
  let wrong = 0;
  for (const token of tokens) {
    const best = logits.reduce((found, x, i) => (x > logits[found]! ? i : found), 0);
    if (best !== token) wrong++;
    logits = await session.feed([best]);
  }
  await session.release();
  return wrong;
}

/** Returns the largest of all. NaN counts as larger than any number. */
function worst<T>(items: readonly T[], off: (item: T, i: number) => number): number {
  return items.map(off).reduce((found, x) => (x <= found ? found : Number.isNaN(x) ? Infinity : x), 0);
}

function largest(a: Float32Array, b?: Float32Array): number {
  return a.reduce((found, x, i) => Math.max(found, Math.abs(x - (b?.[i] ?? 0))), 0);
}

function distance(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));
}
