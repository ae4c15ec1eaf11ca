/** One micro-batch through a model: losses of its supervised tokens, and their gradient for every tensor of an adapter. */
import { isDeepStrictEqual } from 'node:util';
import type { Provider } from '../contract.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { gradients } from '../graph/gradient.ts';
import { lowered } from '../graph/lower.ts';
import { encodeModel } from '../graph/onnx.ts';
import { headCrossEntropy } from '../graph/ops/loss.ts';
import { doraScale, type LoraFactors } from '../graph/ops/matmul.ts';
import { uniformNoise, type RowKeys } from '../graph/ops/random.ts';
import { reshape } from '../graph/ops/shape.ts';
import { rematerialize } from '../graph/rematerialize.ts';
import {
  decoder,
  headInput,
  headLogits,
  packedEnds,
  weightsOf,
  type DecoderOptions,
  type WeightFiles,
} from '../decoder/decoder.ts';
import { float32, int64, only, sequenceFeeds, sequenceInputs } from '../decoder/sequence.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { assert } from '../problem.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import { tokenKeys, type StepPlace } from './draw.ts';
import { tensorView, type AdapterShape, type AdapterTensor } from '../adapters/adapter.ts';

/** Rows of one shape, padded on the right, or packed end to end into one. */
export interface MicroBatch {
  /** `[batch * time]`, 0 at padding. */
  readonly inputIds: Int32Array;
  /** `[batch * time]`, not shifted: `labels[t]` belongs to `inputIds[t]`; -100 is ignored and stands at padding. */
  readonly labels: Int32Array;
  readonly batch: number;
  readonly time: number;
  /** Tokens of each row without padding. */
  readonly lengths: readonly number[];
  /** The rows lie one after the other in a single one, so `batch` is 1. */
  readonly packed?: boolean;
  /** How much each supervised token's loss counts in the gradient, in the order of `StepResult.tokenLoss`; left out, 1 each. */
  readonly weights?: Float32Array;
}

export interface StepResult {
  /** One loss per supervised position, in order of (row, position). */
  readonly tokenLoss: Float32Array;
  /** Row of each supervised position. */
  readonly tokenRow: Int32Array;
  /** The gradient of the sum of `tokenLoss`, each times its weight, flat in the adapter's order; null when only evaluated. */
  readonly gradient: Float32Array | null;
}

export interface TrainStepOptions {
  /** Of so many blocks keep only the input until the backward: for all of them about a third more work and a fraction of the memory. */
  readonly recompute: number;
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
  /** Where losses and gradients are computed; left out, on the processor. */
  readonly provider?: Provider;
  /** The size of the largest batch to train on, where it is known: an accelerator's graph is built for it at once. */
  readonly largest?: Pick<MicroBatch, 'batch' | 'time'>;
  /** Share of the adapters' inputs that is dropped while training. */
  readonly dropout?: number;
  /** NEFTune: embeddings get noise within alpha / √(tokens of the row x width) while training. */
  readonly neftuneNoiseAlpha?: number;
  /** Of what is drawn. */
  readonly seed?: number;
  /** `Adapter.initial` */
  readonly initial?: Float32Array | null;
  /** Blocks of queries attention is cut into, 1 when left out: see `attentionBlocksFor`. */
  readonly attentionBlocks?: number;
  /** Rows whose logits are alive at once. */
  readonly headRows?: number;
}

/** Rows whose logits are alive at once: with a vocabulary of 50,000, 50 MB. */
export const usualHeadRows = 256;

type Purpose = 'gradient' | 'evaluate';

/** Opened with an empty adapter shape it serves the base model alone. */
export class TrainStep {
  readonly #spec: DecoderSpec;
  readonly #files: WeightFiles;
  readonly #shape: AdapterShape;
  readonly #options: TrainStepOptions;
  /**
   * Opened when first needed. Each has the weights, and keeps the memory of its largest batch: on the processor there is one at a time, for
   * to open one again takes less than a step. An accelerator takes long to make its kernels, so there each purpose keeps its own.
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

  /** Opens what gradients are computed with, so that none of them has to wait for it. An accelerator's depends on the batch. */
  async prepare(): Promise<void> {
    if (this.#provider === 'cpu') await this.#session('gradient', null);
  }

  /** `place` keys what is drawn at random: without dropout and noise it does not matter. */
  gradient(batch: MicroBatch, parameters: Float32Array, place: StepPlace = { step: 0, firstRow: 0 }): Promise<StepResult> {
    return this.#losses('gradient', batch, parameters, place);
  }

  evaluate(batch: MicroBatch, parameters: Float32Array): Promise<StepResult> {
    return this.#losses('evaluate', batch, parameters, null);
  }

  async release(): Promise<void> {
    const opened = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { opened: built } of opened) await (await built).session.release();
  }

  async #losses(
    purpose: 'gradient' | 'evaluate',
    rowsAsGiven: MicroBatch,
    parameters: Float32Array,
    place: StepPlace | null,
  ): Promise<StepResult> {
    const room = this.#roomFor(purpose, rowsAsGiven);
    const batch = lengthened(rowsAsGiven, this.#options.attentionBlocks ?? 1, room ?? rowsAsGiven);
    const { rows, targets, tokenRow } = supervised(batch);
    const gradient = purpose === 'gradient' ? new Float32Array(this.#shape.length) : null;
    if (rows.length === 0) return { tokenLoss: new Float32Array(0), tokenRow, gradient };

    // The head takes equal chunks; what fills the last one up counts for nothing.
    const { chunks, chunkRows } = this.#chunks(room?.supervised ?? rows.length);
    const padded = (values: readonly number[]) => Array.from({ length: chunks * chunkRows }, (_, i) => values[i] ?? 0);
    const weight = new Float32Array(chunks * chunkRows);
    if (batch.weights === undefined) weight.fill(1, 0, rows.length);
    else weight.set(batch.weights);
    const feeds = {
      ...this.#feeds(batch, parameters),
      ...(place === null ? {} : this.#randomFeeds(batch, place)),
      rows: int64(padded(rows), [chunks * chunkRows]),
      targets: int64(padded(targets), [chunks, chunkRows]),
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

  #chunks(rows: number): { readonly chunks: number; readonly chunkRows: number } {
    const chunks = Math.ceil(rows / (this.#options.headRows ?? usualHeadRows));
    return { chunks, chunkRows: Math.ceil(rows / chunks) };
  }

  /** An accelerator's graph has fixed sizes: those of the largest batch so far, and somewhat more, so that it is seldom built anew. */
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
    if (room === null) await this.release();
    // The smaller one goes first.
    else if (held !== undefined) await (await held.opened).session.release();
    const opened = this.#open(purpose, room);
    this.#sessions.set(purpose, { room, opened });
    return opened;
  }

  async #open(purpose: Purpose, room: Room | null): Promise<BuiltSession> {
    const built = buildStep(this.#spec, this.#files, this.#shape, purpose, this.#options);
    const graph = room === null ? built : lowered(built, this.#sizesOf(room));
    const session = await this.#options.openSession(encodeModel(graph), {
      threads: this.#options.threads,
      provider: room === null ? 'cpu' : this.#provider,
      flushDenormals: true,
    });
    return { session, inputs: graph.inputs };
  }

  #sizesOf(room: Room): Readonly<Record<string, number>> {
    const { batch, time } = lengthenedTo(room, this.#options.attentionBlocks ?? 1);
    const { chunks, chunkRows } = this.#chunks(room.supervised);
    return { batch, time, keys: time, tokens: batch * time, chunks, chunkRows, rows: chunks * chunkRows };
  }
}

/** For what a graph of fixed sizes has room. */
interface Room {
  readonly batch: number;
  readonly time: number;
  readonly supervised: number;
}

/** At most a quarter more, in few different sizes. */
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

/** A block of so many queries keeps its scores in the processor's cache; more than 16 would be many small nodes. */
const QUERIES_OF_BLOCK = 128;
const MOST_BLOCKS = 16;

/** Into how many blocks of queries attention is cut for rows of up to `longest` tokens. */
export function attentionBlocksFor(longest: number): number {
  return Math.min(MOST_BLOCKS, Math.max(1, Math.round(longest / QUERIES_OF_BLOCK)));
}

/** The whole step as one graph. */
export function buildStep(
  spec: DecoderSpec,
  files: WeightFiles,
  shape: AdapterShape,
  purpose: Purpose,
  {
    recompute,
    dropout = 0,
    neftuneNoiseAlpha = 0,
    initial = null,
    attentionBlocks: blocks = 1,
    provider = 'cpu',
  }: Pick<TrainStepOptions, 'recompute' | 'dropout' | 'neftuneNoiseAlpha' | 'initial' | 'attentionBlocks' | 'provider'>,
): Graph {
  const g = new Graph();
  const sequence = sequenceInputs(g, spec, { batch: 'batch', tokens: 'tokens', keys: 'time', blocks });
  const inputs = new Map(shape.tensors.map((tensor) => [tensor, g.input(tensor.name, 'float32', tensor.shape)]));
  const rows = g.input('rows', 'int64', ['rows']);
  const taken = new Map(
    (initial ? takenTensors(shape) : []).map((tensor) => [tensor, g.input(takenName(tensor), 'float32', tensor.shape)]),
  );
  const training = purpose === 'gradient';
  const isRandom = training && (dropout > 0 || neftuneNoiseAlpha > 0);
  const keyInput = (name: string): Value => g.input(`random.${name}`, 'int32', ['tokens', 1]);
  const keys: RowKeys | null = isRandom ? [keyInput('first'), keyInput('second')] : null;
  const replaced = new Set(shape.replaced.flatMap(({ names }) => names));
  const adapted = (): DecoderOptions => {
    const own = adaptation(g, spec, files, shape, inputs, taken, keys && dropout > 0 ? { rate: dropout, keys } : null);
    return {
      ...own,
      // An accelerator picks no rows out of bytes: there both are read back as a whole.
      ...(provider === 'cpu' ? packedEnds(g, spec, files, (name) => replaced.has(name)) : {}),
      ...(keys && neftuneNoiseAlpha > 0 ? { noise: embeddingNoise(g, spec, keys) } : {}),
      recompute: training ? recompute : 0,
    };
  };
  const targets = g.input('targets', 'int64', ['chunks', 'chunkRows']);
  const { result: tokenLoss, tape } = g.record(() => {
    const options = adapted();
    const hidden = decoder(g, spec, sequence, options);
    const chunked = reshape(g, [headInput(g, spec, hidden, rows, options)], {
      shape: ['chunks', 'chunkRows', spec.hiddenSize],
    });
    const trained = headValues(spec, options, replaced);
    const gradient = purpose === 'evaluate' ? 'none' : trained.length === 0 ? 'hidden' : 'hidden and trained';
    const dropped = options.lora(spec.modules.output)?.dropout;
    const keysOfRows = dropped === undefined ? [] : dropped.keys.map((key) => chosenKeys(g, key, rows));
    const head = (body: Graph, x: Value, _: readonly Value[], [first, second]: readonly Value[]): Value => {
      if (dropped === undefined || first === undefined || second === undefined) return headLogits(body, spec, x, options);
      const lora = (path: string) => ({ ...options.lora(path)!, dropout: { ...dropped, keys: [first, second] as const } });
      return headLogits(body, spec, x, { ...options, lora });
    };
    const attributes = { head, gradient, ofRows: keysOfRows.length } as const;
    return g.scope('loss', () => headCrossEntropy(g, [chunked, targets, ...keysOfRows, ...trained], attributes));
  });
  if (purpose === 'gradient') {
    const forward = g.nodes.length;
    const weight = g.input('weight', 'float32', ['chunks', 'chunkRows']);
    const found = gradients(g, tape, tokenLoss, weight, [...inputs.values()]);
    shape.tensors.forEach(({ name }, i) => {
      const gradient = found[i];
      assert(gradient !== null && gradient !== undefined, `the loss does not depend on ${name}`);
      g.output(`gradient.${name}`, gradient);
    });
    rematerialize(g, forward);
  }
  g.output('token_loss', reshape(g, [tokenLoss], { shape: ['rows'] }));
  return g;
}

/** NEFTune (Jain et al. 2023). */
function embeddingNoise(g: Graph, { hiddenSize }: DecoderSpec, keys: RowKeys): Value {
  return uniformNoise(g, keys, 'neftune', hiddenSize, g.input('random.limit', 'float32', ['tokens', 1]));
}

/** Keys `[tokens, 1]` of the rows the head reads, chunk by chunk. */
function chosenKeys(g: Graph, keys: Value, rows: Value): Value {
  const chosen = g.node('Gather', [keys, rows], { axis: { int: 0 } });
  return reshape(g, [chosen], { shape: ['chunks', 'chunkRows', 1] });
}

/** The factors whose first values are taken out of the base. */
function takenTensors({ modules }: AdapterShape): AdapterTensor[] {
  return modules.flatMap(({ kind, a, b }) => (kind === 'linear' ? [a, b] : []));
}

const takenName = ({ name }: AdapterTensor): string => `taken/${name}`;

type TrainedInputs = ReadonlyMap<AdapterTensor, Value>;

/** Weights, trained where they are, and the factors of every adapted module; DoRA's scales are computed once, before the blocks. */
export function adaptation(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  { modules, replaced }: AdapterShape,
  inputs: TrainedInputs,
  takenInputs: TrainedInputs,
  dropout: { readonly rate: number; readonly keys: RowKeys } | null,
): Pick<DecoderOptions, 'weight' | 'lora'> {
  const frozen = weightsOf(g, spec, files);
  const trained = new Map(replaced.flatMap(({ names, tensor }) => names.map((name) => [name, inputs.get(tensor)!] as const)));
  const weight = (name: string): Value => trained.get(name) ?? frozen(name);
  const factors = new Map(
    modules.map(({ path, kind, scale, a, b, magnitude }): [string, LoraFactors] => {
      const dropping = dropout === null ? {} : { dropout: { ...dropout, name: path } };
      const [takenA, takenB] = [takenInputs.get(a), takenInputs.get(b)];
      const taking = takenA && takenB ? { taken: { a: takenA, b: takenB } } : {};
      const own = { a: inputs.get(a)!, b: inputs.get(b)!, scale, ...dropping, ...taking };
      if (magnitude === null) return [path, own];
      const values = [inputs.get(magnitude)!, weight(`${path}.weight`), own.a, own.b];
      const outputScale = g.scope(path, () => doraScale(g, values, { scale, embedding: kind === 'embedding' }));
      return [path, { ...own, outputScale }];
    }),
  );
  return { weight, lora: (path) => factors.get(path) ?? null };
}

/** What the output head is trained by. */
function headValues({ modules, head }: DecoderSpec, { weight, lora }: DecoderOptions, replaced: ReadonlySet<string>): Value[] {
  const factors = lora(modules.output);
  const own = [`${modules.output}.weight`, ...(head.bias ? [`${modules.output}.bias`] : [])];
  const scale = factors?.outputScale;
  return [
    ...own.filter((name) => replaced.has(name)).map(weight),
    ...(factors ? [factors.a, factors.b] : []),
    ...(scale ? [scale] : []),
  ];
}

/** Where each row of a batch begins and how many tokens it has. */
function rowPlaces({ lengths, time, packed }: MicroBatch): { readonly start: number; readonly length: number }[] {
  let end = 0;
  return lengths.map((length, row) => {
    const start = packed === true ? end : row * time;
    end = start + length;
    return { start, length };
  });
}

/** For each token of packed rows where its row begins; what fills up is a row of its own. */
function startsOfTokens(batch: MicroBatch): Int32Array {
  const rows = rowPlaces(batch);
  const { start, length } = rows.at(-1)!;
  const starts = new Int32Array(batch.time).fill(start + length);
  for (const row of rows) starts.fill(row.start, row.start, row.start + row.length);
  return starts;
}

/** Flat positions whose next token is supervised, that token, and their rows. */
function supervised(batch: MicroBatch): { rows: number[]; targets: number[]; tokenRow: Int32Array } {
  const rows: number[] = [];
  const targets: number[] = [];
  const tokenRow: number[] = [];
  rowPlaces(batch).forEach(({ start, length }, row) => {
    for (let position = start; position + 1 < start + length; position++) {
      const label = batch.labels[position + 1]!;
      if (label === -100) continue;
      rows.push(position);
      targets.push(label);
      tokenRow.push(row);
    }
  });
  return { rows, targets, tokenRow: Int32Array.from(tokenRow) };
}

/** The size of a batch whose `time` is a multiple of `blocks`. */
function lengthenedTo({ batch, time }: Pick<MicroBatch, 'batch' | 'time'>, blocks: number) {
  return { batch, time: Math.ceil(time / blocks) * blocks };
}

/** Rows padded on the right until `time` is a multiple of `blocks`, and not below `least`; so many rows as it has, the added ones empty. */
function lengthened(given: MicroBatch, blocks: number, least: Pick<MicroBatch, 'batch' | 'time'> = given): MicroBatch {
  const { batch, time } = lengthenedTo(least, blocks);
  if (time === given.time && batch === given.batch) return given;
  const wider = (values: Int32Array, padding: number): Int32Array => {
    const result = new Int32Array(batch * time).fill(padding);
    for (let row = 0; row < given.batch; row++)
      result.set(values.subarray(row * given.time, (row + 1) * given.time), row * time);
    return result;
  };
  return { ...given, inputIds: wider(given.inputIds, 0), labels: wider(given.labels, -100), batch, time };
}
