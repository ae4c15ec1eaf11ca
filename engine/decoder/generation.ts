/**
 * Generates text with a cache of what the blocks keep of a row. Adapters are inputs of the graph, so they change without a new
 * session as long as they adapt no other modules.
 */
import { assert } from '../problem.ts';
import { sum } from '../graph/dim.ts';
import { Graph } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import type { WeightedAdapter } from '../adapters/delta.ts';
import { adapterFeeds, adapterInputs, noSlots, sameSlots, slotsFor, type AdapterSlots } from './adapter-inputs.ts';
import { decoder, logits } from './decoder.ts';
import type { DecoderOptions } from './options.ts';
import { RowState, StateInputs } from './state.ts';
import { packedReading, type WeightFiles } from './weights.ts';
import { quantizedModel, type OpenModel } from '../models/open.ts';
import { turnsOtherwise } from '../models/rope.ts';
import { type Feed, int64, only, sequenceFeeds, sequenceInputs } from './sequence.ts';
import type { DecoderSpec } from '../models/spec.ts';

export interface GenerationOptions {
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
}

/**
 * A long prompt is fed in pieces, so that no token is scored against those long after it, and scores stay in the processor's
 * cache.
 */
export const LONGEST_PIECE = 256;

/** Holds the tokens of a row with what the blocks keep of them. */
export interface KeptRow {
  readonly row: RowState;
  readonly fed: readonly number[];
}

/** Feeds the tokens of one row to a model and returns the logits of the next token. */
export class GenerationSession {
  readonly #model: OpenModel;
  readonly #files: WeightFiles;
  readonly #options: GenerationOptions;
  #row: RowState;
  #session: GraphSession;
  #inputs: readonly string[];
  #slots = noSlots;
  /** Lists the tokens that were fed since the last reset. */
  #fed: number[] = [];
  #adapterFeeds: Readonly<Record<string, TensorValue>>;

  private constructor(model: OpenModel, files: WeightFiles, options: GenerationOptions, opened: OpenedGraph) {
    this.#model = model;
    this.#files = files;
    this.#options = options;
    this.#session = opened.session;
    this.#inputs = opened.inputs;
    this.#adapterFeeds = adapterFeeds(model, noSlots, []);
    this.#row = new RowState(model.spec);
  }

  /** Opens a session of the base model. Matrices that the file keeps quantized are multiplied as they are. */
  static async open(given: OpenModel, options: GenerationOptions): Promise<GenerationSession> {
    const model = quantizedModel(given, 'stored');
    const files = await model.weights.files(options.cacheDir);
    return new GenerationSession(model, files, options, await openGraph(model.spec, files, noSlots, options));
  }

  get spec(): DecoderSpec {
    return this.#model.spec;
  }

  /** Returns the number of tokens that have been fed since the last reset. */
  get length(): number {
    return this.#row.length;
  }

  /** Sets the adapters, whose weighted sum is applied; an empty list is the base. The cache is emptied. */
  async useAdapters(adapters: readonly WeightedAdapter[]): Promise<void> {
    const slots = slotsFor(adapters, this.#slots);
    if (!sameSlots(slots, this.#slots)) {
      const opened = await openGraph(this.#model.spec, this.#files, slots, this.#options);
      await this.#session.release();
      this.#session = opened.session;
      this.#inputs = opened.inputs;
      this.#slots = slots;
    }
    this.#adapterFeeds = adapterFeeds(this.#model, slots, adapters);
    this.reset();
  }

  reset(): void {
    this.#row = new RowState(this.#model.spec);
    this.#fed = [];
  }

  /** Returns what was fed so far, to go on from more than once. It holds for the present adapters. */
  keep(): KeptRow {
    return { row: this.#row.copy(), fed: [...this.#fed] };
  }

  /** Goes on after what was kept. */
  restore({ row, fed }: KeptRow): void {
    this.#row = row.copy();
    this.#fed = [...fed];
  }

  /** Feeds tokens after those in the cache and returns the logits `[vocabulary]` of the last one. */
  async feed(tokens: readonly number[]): Promise<Float32Array> {
    assert(tokens.length > 0, 'nothing to feed');
    const past = this.#row.length;
    const length = past + tokens.length;
    if (past > 0 && this.#model.spec.ropes.some((rope) => turnsOtherwise(rope, past, length))) {
      const all = [...this.#fed, ...tokens];
      this.reset();
      return this.feed(all);
    }
    this.#fed.push(...tokens);
    let last = new Float32Array(0);
    for (let start = 0; start < tokens.length; start += LONGEST_PIECE)
      last = await this.#feedPiece(tokens.slice(start, start + LONGEST_PIECE), length);
    return last;
  }

  #feedPiece(tokens: readonly number[], length: number): Promise<Float32Array<ArrayBuffer>> {
    return this.run(this.#row, tokens, [tokens.length - 1], { length });
  }

  /** Feeds tokens after those of a state, and returns the logits `[at, vocabulary]` of those that are named by their index. */
  async run(
    state: RowState,
    tokens: readonly number[],
    at: readonly number[],
    how: Pick<Feed, 'length' | 'shared'>,
  ): Promise<Float32Array<ArrayBuffer>> {
    const time = tokens.length;
    const { length: past, room } = state;
    const feeds: Record<string, TensorValue> = {
      ...this.#adapterFeeds,
      ...sequenceFeeds(this.#model.spec, { inputIds: Int32Array.from(tokens), time, past, room, ...how }),
      ...state.feeds(),
      rows: int64(at, [at.length]),
    };
    const result = await this.#session.run(only(this.#inputs, feeds));
    state.add(time, result);
    return result['logits']!.data as Float32Array<ArrayBuffer>;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

interface OpenedGraph {
  readonly session: GraphSession;
  readonly inputs: readonly string[];
}

async function openGraph(
  spec: DecoderSpec,
  files: WeightFiles,
  slots: AdapterSlots,
  { threads, openSession }: GenerationOptions,
): Promise<OpenedGraph> {
  const graph = buildGeneration(spec, files, slots);
  // Unprepared, a packed matrix would be read back as float32 for every token.
  const prepack = graph.nodes.some(({ type }) => type === 'MatMulNBits');
  const session = await openSession(encodeModel(graph), { threads, provider: 'cpu', prepack, flushDenormals: true });
  return { session, inputs: graph.inputs.map(({ name }) => name) };
}

/** Builds the graph of new tokens after those in the cache: of one row, or of several that share it. */
export function buildGeneration(spec: DecoderSpec, files: WeightFiles, slots: AdapterSlots): Graph {
  const g = new Graph();
  const sequence = sequenceInputs(g, spec, { batch: 1, tokens: 'time', keys: sum(['room', 'time']), queryBlocks: 1 });
  const rows = g.input('rows', 'int64', ['answers']);
  const adapted = adapterInputs(g, spec, files, slots);
  const state = new StateInputs(g, spec);
  const options: DecoderOptions = {
    ...adapted,
    ...packedReading(g, spec, files, adapted, (name) => !slots.replaced.has(name)),
    recompute: 0,
    state: (layer) => state.of(layer),
  };
  g.output('logits', logits(g, spec, decoder(g, spec, sequence, options), rows, options));
  state.output();
  return g;
}
