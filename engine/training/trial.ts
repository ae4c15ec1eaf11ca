/**
 * Tries a device before it is trusted with a run, by comparing the loss and every gradient of a small model on it and on the
 * processor. The small model has smaller sizes (width, number of equal blocks, vocabulary, rank) and keeps everything that
 * decides which operators a step is made of.
 */
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Provider, TrialSubject } from '../contract.ts';
import { ignored } from '../labels.ts';
import { makeFolder } from '../formats/files.ts';
import { Graph } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { llamaModules } from '../models/families/names.ts';
import { decoderSpec, sameBlocks, usualSpec } from '../models/families/uniform.ts';
import { kindOfFeedForward } from '../models/feed-forward/index.ts';
import { kindOfMixer } from '../models/mixers/index.ts';
import { linearLayers, modelTensors, type BlockSpec, type DecoderSpec } from '../models/spec.ts';
import { StoredWeights, type BaseQuantization, type ModelWeights, type StoredTensor } from '../models/weights.ts';
import { float32 } from '../decoder/sequence.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { defaultRecipe, type Recipe } from '../recipe.ts';
import { requireRecipe } from '../recipe/check.ts';
import type { OpenSession } from '../runtime/session.ts';
import { adapterShape, tensorView, type AdapterShape } from '../adapters/adapter.ts';
import type { AdapterConfig } from '../adapters/config.ts';
import { openRecordedOutline, recordedOf } from '../adapters/adapted.ts';
import { newConfig } from '../adapters/initial.ts';
import { fillUniform } from '../random.ts';
import type { MicroBatch } from './micro-batch.ts';
import { TrainStep } from './step.ts';

/** Describes a trial as plain data. Two runs with equal trials have steps of the same operators. */
interface Trial {
  readonly spec: DecoderSpec;
  readonly config: AdapterConfig;
  readonly quantization: BaseQuantization;
  /** Gives the number of blocks with gradient checkpointing: one of the two is enough to have both kinds. */
  readonly recompute: number;
  readonly neftune: boolean;
  /** Says whether the adapter began with a part of its base. */
  readonly taken: boolean;
}

function trialOf(spec: DecoderSpec, config: AdapterConfig, recipe: Recipe): Trial {
  const small = miniature(spec);
  return {
    spec: small,
    config: smallConfig(config, small),
    // Quantized as a file has it reads like 4 bits.
    quantization: recipe.baseQuantization === 'stored' ? '4bit' : recipe.baseQuantization,
    recompute: Math.min(1, recipe.recompute),
    neftune: recipe.neftuneNoiseAlpha > 0,
    taken: config.method !== 'full' && /^(pissa|olora)/.test(recipe.initialization),
  };
}

const llama = decoderSpec({
  ...usualSpec,
  ...{ family: 'llama', modules: llamaModules, layers: 2, hiddenSize: 64, intermediateSize: 128, vocabularySize: 96 },
  ...{ heads: 4, keyValueHeads: 2, headDim: 16, contextLength: 128, biases: [], tiedEmbeddings: true },
  norm: { kind: 'rms', epsilon: 1e-5, weight: 'plain', bias: false },
  blocks: sameBlocks(2, { window: null, rope: 0, scoreScale: 1 / 4 }),
  ropes: [{ theta: 10_000, dimension: 16, interleaved: false, scaling: { kind: 'none' } }],
  feedForward: { activation: 'silu', form: 'gated' },
});

/** Holds the trial of a Llama with the default recipe. */
const usualTrial: Trial = trialOf(llama, newConfig(defaultRecipe(), llama, null), defaultRecipe());

/** Returns the trial for a run, or, for null, the trial that a device must pass to be offered at all. */
export function trialFor(subject: TrialSubject | null): Trial {
  if (subject === null) return usualTrial;
  const { model: at, adapterPath, recipe: input, ...hashes } = subject;
  const model = openModel(at.path, at.acceptFields);
  const { spec } = model;
  const recipe = requireRecipe(input);
  const config =
    adapterPath === null
      ? newConfig(recipe, spec, null)
      : openRecordedOutline(model, adapterPath, recordedOf(hashes)).adapter.config;
  return trialOf(spec, { ...config, dropout: recipe.dropout }, recipe);
}

export function trialKey(trial: Trial): string {
  return createHash('sha256').update(JSON.stringify(trial)).digest('hex').slice(0, 16);
}

/** Makes a small model of a spec: one block of each kind, at least two, each with few and narrow parts. */
function miniature(spec: DecoderSpec): DecoderSpec {
  const small = spec.blocks.map(({ mixer, feedForward, ...block }): BlockSpec => ({
    ...block,
    mixer: kindOfMixer(mixer).miniature(mixer),
    feedForward: kindOfFeedForward(feedForward).miniature(feedForward),
  }));
  const kinds = new Map(small.map((block) => [JSON.stringify(block), block]));
  const blocks = [...kinds.values()];
  if (blocks.length === 1) blocks.push(blocks[0]!);
  return {
    ...spec,
    ...{ blocks, hiddenSize: 64, vocabularySize: 96 },
    learnedPositions: spec.learnedPositions === null ? null : 64,
  };
}

function smallConfig(config: AdapterConfig, spec: DecoderSpec): AdapterConfig {
  const small: AdapterConfig = {
    ...config,
    ...{ rank: 4, alpha: 8, rankPattern: {}, alphaPattern: {}, layers: 'all', base: null },
    dropout: config.dropout > 0 ? 0.25 : 0,
  };
  // A module named by the number of a block may no longer exist.
  return adapterShape(small, spec).length > 0 ? small : { ...small, targetModules: 'all-linear', excludeModules: [] };
}

interface TrialTools {
  readonly openSession: OpenSession;
  readonly threads: number;
  /**
   * Gives the folder of the small model during the trial. A driver may crash this process, so a trial first removes what the
   * last one left.
   */
  readonly folder: string;
}

/**
 * Gives the largest accepted difference. Other rounding makes a difference of a few millionths; a larger one means wrong
 * results.
 */
const largestDifference = 1e-3;

/**
 * Returns the largest difference of losses and gradients between a device and the processor, as a share of the largest value of
 * the tensor. A device that differs too much or cannot compute them is refused with a `Problem`.
 */
export async function tryStep(trial: Trial, provider: Provider, tools: TrialTools): Promise<number> {
  const { folder } = tools;
  rmSync(folder, { recursive: true, force: true });
  makeFolder(folder);
  try {
    const model = { spec: trial.spec, weights: randomWeights(trial, folder) };
    const shape = adapterShape(trial.config, trial.spec);
    const expected = await computed(trial, model, shape, 'cpu', tools);
    const actual = await computed(trial, model, shape, provider, tools).catch((error: unknown) => {
      throw refused(error);
    });
    let worst = 0;
    for (const [name, values] of expected) {
      const difference = relative(actual.get(name)!, values);
      if (!(difference <= largestDifference))
        throw new Problem(
          'device-unavailable',
          `Its results are wrong: ${name} of a small model differs from the processor's by ${percent(difference)} of its largest value.`,
          'A newer driver may help.',
        );
      worst = Math.max(worst, difference);
    }
    return worst;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toPrecision(2)} %` : 'more than can be said';
}

/** Returns the error for a device that could not compute at all. */
function refused(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const why = /default CPU EP|fallback to CPU/i.test(message)
    ? 'It lacks operators that a training step needs.'
    : `It could not be used: ${message.replace(/\s+/g, ' ').slice(0, 300)}`;
  return new Problem('device-unavailable', why, 'The processor is used.', { cause: error });
}

function relative(actual: Float32Array, expected: Float32Array): number {
  let [largest, off] = [0, 0];
  expected.forEach((value, i) => {
    const difference = Math.abs(actual[i]! - value);
    largest = Math.max(largest, Math.abs(value));
    // NaN counts as the worst.
    if (!(difference <= off)) off = Number.isNaN(difference) ? Infinity : difference;
  });
  return off === 0 ? 0 : off / largest;
}

const batch: MicroBatch = {
  inputIds: Int32Array.from({ length: 24 }, (_, i) => (i * 37 + 11) % 96),
  labels: Int32Array.from({ length: 24 }, (_, i) => (i % 12 === 0 || i % 5 === 2 || i >= 21 ? ignored : (i * 29 + 7) % 96)),
  ...{ batch: 2, time: 12, lengths: [12, 9] },
};

async function computed(
  { config, recompute, neftune, taken }: Trial,
  model: { readonly spec: DecoderSpec; readonly weights: Pick<ModelWeights, 'files'> },
  shape: AdapterShape,
  provider: Provider,
  { openSession, threads, folder }: TrialTools,
): Promise<ReadonlyMap<string, Float32Array>> {
  const parameters = randomParameters(shape, 1);
  const step = await TrainStep.open(model, shape, {
    ...{ recompute, provider, openSession, threads, cacheDir: folder },
    ...{ dropout: config.dropout, neftuneNoiseAlpha: neftune ? 5 : 0, seed: 1 },
    initial: taken ? randomParameters(shape, 2) : null,
    // There are two of everything of which there may be several: blocks of queries, chunks of the head.
    ...{ attentionBlocks: 2, headRows: 8 },
    largest: batch,
  });
  try {
    const { tokenLoss, gradient } = await step.gradient(batch, parameters);
    const { tokenLoss: evaluated } = await step.evaluate(batch, parameters);
    return new Map([
      ['the loss', tokenLoss],
      ['the loss of an evaluation', evaluated],
      ...shape.tensors.map((tensor) => [`the gradient of ${tensor.name}`, tensorView(gradient!, tensor)] as const),
    ]);
  } finally {
    await step.release();
  }
}

/** Returns parameters none of which is 0, because no gradient would pass a 0. */
function randomParameters(shape: AdapterShape, seed: number): Float32Array {
  const parameters = new Float32Array(shape.length);
  for (const tensor of shape.tensors) fillUniform(tensorView(parameters, tensor), 0.2, seed, tensor.name);
  for (const { magnitude } of shape.modules)
    if (magnitude !== null) tensorView(parameters, magnitude).forEach((value, i, view) => (view[i] = value + 1));
  return parameters;
}

export function randomWeights({ spec, quantization }: Pick<Trial, 'spec' | 'quantization'>, folder: string): ModelWeights {
  const path = join(folder, 'weights.f32');
  const tensors = new Map<string, StoredTensor>();
  const parts: Float32Array[] = [];
  let offset = 0;
  for (const { name, shape } of modelTensors(spec)) {
    const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    // Matrices keep the size of what they multiply; norms are near 1.
    fillUniform(values, shape.length === 1 ? 0.1 : Math.sqrt(3 / shape.at(-1)!), 1, name);
    if (shape.length === 1 && name.endsWith('.weight')) values.forEach((value, i) => (values[i] = value + 1));
    parts.push(values);
    const length = values.byteLength;
    tensors.set(name, { path, name, type: 'F32', shape, offset, length, moved: false, load: () => values });
    offset += length;
  }
  writeFileSync(path, Buffer.concat(parts.map(({ buffer }) => new Uint8Array(buffer))));
  const matrices = new Set(linearLayers(spec).map((layer) => `${layer.path}.weight`));
  return new StoredWeights(tensors).quantized(quantization, matrices);
}

/** Gives the number of products in a row, so that moving numbers to a device and back counts for little. */
const products = 4;
const enoughSeconds = 0.1;
const sizes = [128, 256, 512, 1024, 2048, 4096];

/** Measures how fast a device multiplies large matrices, in billions of operations per second. */
export async function multiplicationRate(provider: Provider, { openSession, threads }: TrialTools): Promise<number> {
  const g = new Graph();
  const matrix = (name: string) => g.input(name, 'float32', ['n', 'n']);
  let y = matrix('x');
  const w = matrix('w');
  for (let i = 0; i < products; i++) y = gemm(g, [y, w], {});
  g.output('y', y);
  const session = await openSession(encodeModel(g), { threads, provider });
  try {
    let rate = 0;
    for (const n of sizes) {
      const filled = (value: number) => float32(new Float32Array(n * n).fill(value), [n, n]);
      const feeds = { x: filled(1), w: filled(1 / n) };
      // The first time kernels may be compiled.
      await session.run(feeds);
      const started = performance.now();
      await session.run(feeds);
      const seconds = (performance.now() - started) / 1000;
      rate = (products * 2 * n ** 3) / seconds / 1e9;
      if (seconds >= enoughSeconds) break;
    }
    return rate;
  } finally {
    await session.release();
  }
}
