/** Computes one micro-batch: the losses of its supervised tokens, and their gradient for every tensor of an adapter. */
import { isDeepStrictEqual } from 'node:util';
import { type AdapterShape, tensorView } from '../adapters/adapter.ts';
import type { Provider } from '../contract.ts';
import type { WeightFiles } from '../decoder/weights.ts';
import { float32, int64, only, sequenceFeeds } from '../decoder/sequence.ts';
import type { Value } from '../graph/node.ts';
import { lowered } from '../graph/lower.ts';
import { encodeModel } from '../graph/onnx.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import { tokenKeys, type StepPlace } from './draw.ts';
import { padded, rowPlaces, startsOfTokens, supervised, type MicroBatch } from './micro-batch.ts';
import { buildStep, takenName, takenTensors, type Purpose, type StepGraphOptions } from './step-graph.ts';
import { stepSizes, usualHeadRows, type BatchSize, type StepSizes } from './step-sizes.ts';

/** Holds the result of one micro-batch. */
export interface StepResult {
  /** Holds the loss of each supervised position in nats, in the order of (row, position). */
  readonly tokenLoss: Float32Array;
  /** Holds the row of each supervised position in the micro-batch, from 0. */
  readonly tokenRow: Int32Array;
  /**
   * Holds the gradient of the weighted sum of `tokenLoss`, flat in the order of the adapter's parameters; null unless it was
   * requested.
   */
  readonly gradient: Float32Array | null;
}

export interface TrainStepOptions extends StepGraphOptions {
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
  /**
   * Holds the size of the largest batch to train on, where it is known, so that the graph of an accelerator is built for it at
   * once.
   */
  readonly largest?: BatchSize;
  /** Gives the seed of dropout and noise. */
  readonly seed?: number;
  /** Gives the number of rows whose logits are in memory at once. */
  readonly headRows?: number;
}

/** Computes micro-batches of one model and one adapter shape; with an empty shape it computes the base model alone. */
export class TrainStep {
  readonly #spec: DecoderSpec;
  readonly #files: WeightFiles;
  readonly #shape: AdapterShape;
  readonly #options: TrainStepOptions;
  /**
   * Holds the sessions by purpose, each opened when first needed. A session holds the weights and keeps the memory of its
   * largest batch. On the processor either the sessions of training steps or that of evaluations are open, because opening them
   * again takes less than a step. An accelerator takes long to make its kernels, so there each purpose keeps its session.
   */
  readonly #sessions = new Map<Purpose, { readonly room: Room | null; readonly opened: Promise<BuiltSession> }>();

  private constructor(spec: DecoderSpec, files: WeightFiles, shape: AdapterShape, options: TrainStepOptions) {
    this.#spec = spec;
    this.#files = files;
    this.#shape = shape;
    this.#options = options;
  }

  static async open(
    model: { readonly spec: DecoderSpec; readonly weights: Pick<ModelWeights, 'files'> },
    shape: AdapterShape,
    options: TrainStepOptions,
  ): Promise<TrainStep> {
    return new TrainStep(model.spec, await model.weights.files(options.cacheDir), shape, options);
  }

  /**
   * Opens the session that computes gradients, so that none has to wait for it. That of an accelerator depends on the batch.
   */
  async prepare(): Promise<void> {
    if (this.#provider === 'cpu') await this.#session('gradient', null);
  }

  /** Computes losses and their gradient. `place` is the key of dropout and noise and has no effect without them. */
  gradient(batch: MicroBatch, parameters: Float32Array, place: StepPlace = { step: 0, firstRow: 0 }): Promise<StepResult> {
    return this.#losses('gradient', batch, parameters, place);
  }

  /** Computes the losses that `gradient` computes for the same place, with the same dropout and noise. */
  score(batch: MicroBatch, parameters: Float32Array, place: StepPlace): Promise<StepResult> {
    return this.#losses('score', batch, parameters, place);
  }

  /** Computes losses without dropout and noise. */
  evaluate(batch: MicroBatch, parameters: Float32Array): Promise<StepResult> {
    return this.#losses('evaluate', batch, parameters, null);
  }

  async release(): Promise<void> {
    const opened = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { opened: built } of opened) await (await built).session.release();
  }

  async #losses(purpose: Purpose, given: MicroBatch, parameters: Float32Array, place: StepPlace | null): Promise<StepResult> {
    const room = this.#roomFor(purpose, given);
    const sizes = this.#sizes(room ?? { ...given, supervised: supervised(given).rows.length });
    const batch = padded(given, sizes);
    const { rows, targets, tokenRow } = supervised(batch);
    const gradient = purpose === 'gradient' ? new Float32Array(this.#shape.length) : null;
    if (rows.length === 0) return { tokenLoss: new Float32Array(0), tokenRow, gradient };

    const { chunks, chunkRows } = sizes;
    // Padding of the last chunk has no weight.
    const filled = (values: readonly number[]) => Array.from({ length: sizes.rows }, (_, i) => values[i] ?? 0);
    const weight = new Float32Array(sizes.rows);
    if (batch.weights === undefined) weight.fill(1, 0, rows.length);
    else weight.set(batch.weights);
    const feeds = {
      ...this.#feeds(batch, parameters),
      ...(place === null ? {} : this.#randomFeeds(batch, place)),
      rows: int64(filled(rows), [sizes.rows]),
      targets: int64(filled(targets), [chunks, chunkRows]),
      weight: float32(weight, [chunks, chunkRows]),
      'dim.chunks': int64([chunks], [1]),
      'dim.chunkRows': int64([chunkRows], [1]),
    };
    const result = await run(await this.#session(purpose, room), feeds);
    if (gradient !== null) {
      for (const { name, offset } of this.#shape.tensors) {
        gradient.set(result[`gradient.${name}`]!.data as Float32Array, offset);
      }
    }
    return { tokenLoss: (result['token_loss']!.data as Float32Array).slice(0, rows.length), tokenRow, gradient };
  }

  #feeds(batch: MicroBatch, parameters: Float32Array): Record<string, TensorValue> {
    const { inputIds, time, lengths } = batch;
    const starts = batch.packed === true ? { starts: startsOfTokens(batch) } : {};
    const feeds = sequenceFeeds(this.#spec, { inputIds, time, past: 0, length: Math.max(...lengths), ...starts });
    for (const tensor of this.#shape.tensors) feeds[tensor.name] = float32(tensorView(parameters, tensor), tensor.shape);
    const { initial } = this.#options;
    for (const tensor of initial ? takenTensors(this.#shape) : [])
      feeds[takenName(tensor)] = float32(tensorView(initial!, tensor), tensor.shape);
    return feeds;
  }

  #randomFeeds(batch: MicroBatch, place: StepPlace): Record<string, TensorValue> {
    const { dropout = 0, neftuneNoiseAlpha = 0, seed = 0 } = this.#options;
    if (dropout === 0 && neftuneNoiseAlpha === 0) return {};
    const tokens = batch.batch * batch.time;
    const rows = rowPlaces(batch);
    const [first, second] = tokenKeys(seed, place, rows, tokens);
    const limits = new Float32Array(tokens);
    for (const { start, length } of rows)
      limits.fill(neftuneNoiseAlpha / Math.sqrt(length * this.#spec.hiddenSize), start, start + length);
    return {
      'random.first': { type: 'int32', data: first, dims: [tokens, 1] },
      'random.second': { type: 'int32', data: second, dims: [tokens, 1] },
      'random.limit': float32(limits, [tokens, 1]),
    };
  }

  get #provider(): Provider {
    return this.#options.provider ?? 'cpu';
  }

  #sizes({ supervised, ...batch }: Room): StepSizes {
    const { attentionBlocks = 1, headRows = usualHeadRows } = this.#options;
    return stepSizes({ attentionBlocks, headRows }, batch, supervised);
  }

  /**
   * Returns the sizes of an accelerator's graph: those of the largest batch so far and somewhat more, so that it is rarely
   * rebuilt.
   */
  #roomFor(purpose: Purpose, batch: MicroBatch): Room | null {
    if (this.#provider === 'cpu') return null;
    const planned = { batch: 0, time: 0, ...(purpose === 'gradient' ? this.#options.largest : {}), supervised: 0 };
    const held = this.#sessions.get(purpose)?.room ?? planned;
    return {
      batch: Math.max(held.batch, batch.batch),
      time: batch.time <= held.time ? held.time : roomy(batch.time),
      supervised: Math.max(held.supervised, roomy(supervised(batch).rows.length)),
    };
  }

  async #session(purpose: Purpose, room: Room | null): Promise<BuiltSession> {
    const held = this.#sessions.get(purpose);
    if (held !== undefined && isDeepStrictEqual(held.room, room)) return held.opened;
    // Steps that score before they take the gradient need both sessions, again and again.
    if (room === null && (purpose === 'evaluate' || this.#sessions.has('evaluate'))) await this.release();
    // The smaller one goes first.
    else if (held !== undefined) await (await held.opened).session.release();
    const opened = this.#open(purpose, room);
    this.#sessions.set(purpose, { room, opened });
    return opened;
  }

  async #open(purpose: Purpose, room: Room | null): Promise<BuiltSession> {
    const built = buildStep(this.#spec, this.#files, this.#shape, purpose, this.#options);
    const graph = room === null ? built : lowered(built, { ...this.#sizes(room) });
    const session = await this.#options.openSession(encodeModel(graph), {
      threads: this.#options.threads,
      provider: room === null ? 'cpu' : this.#provider,
      flushDenormals: true,
    });
    return { session, inputs: graph.inputs };
  }
}

/** Describes the room of a graph of fixed sizes: the size of a micro-batch and its number of supervised tokens. */
interface Room extends BatchSize {
  readonly supervised: number;
}

/** Rounds a size up by at most a quarter, so that few different sizes occur. */
function roomy(count: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(count)) - 2);
  return Math.ceil(count / step) * step;
}

interface BuiltSession {
  readonly session: GraphSession;
  readonly inputs: readonly Value[];
}

function run({ session, inputs }: BuiltSession, feeds: Readonly<Record<string, TensorValue>>) {
  const asked = only(
    inputs.map(({ name }) => name),
    feeds,
  );
  for (const { name, dtype } of inputs) {
    const { type, data, dims } = asked[name]!;
    if (dtype === 'int32' && type === 'int64') asked[name] = { type: dtype, data: Int32Array.from(data, Number), dims };
  }
  return session.run(asked);
}
