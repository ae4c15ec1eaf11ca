/** Text generation with a cache of keys and values. Adapters are inputs: they change without a new session as long as they need nothing new. */
import { assert } from '../problem.ts';
import { sum } from '../graph/dim.ts';
import { Graph, type Dim, type Value } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { concat } from '../graph/ops/shape.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import type { WeightedAdapter } from '../adapters/delta.ts';
import { adapterFeeds, adapterInputs, noSlots, sameSlots, slotsFor, type AdapterSlots } from './adapter-inputs.ts';
import { attendCached } from './attention.ts';
import { decoder, logits, packedReading, type DecoderOptions, type WeightFiles } from './decoder.ts';
import { quantizedModel, type OpenModel } from '../models/open.ts';
import { turnsOtherwise } from '../models/rope.ts';
import { float32, int64, only, sequenceFeeds, sequenceInputs } from './sequence.ts';
import type { DecoderSpec } from '../models/spec.ts';

export interface GenerationOptions {
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
}

/** The cache grows by so many tokens. */
const ROOM = 128;
/** A long prompt goes in by pieces: no token is scored against what comes long after it, and scores stay in the processor's cache. */
const LONGEST_PIECE = 256;

export class GenerationSession {
  readonly #model: OpenModel;
  readonly #files: WeightFiles;
  readonly #options: GenerationOptions;
  #cache: Cache;
  #session: GraphSession;
  #inputs: readonly string[];
  #slots = noSlots;
  /** What was fed since the last reset. */
  #fed: number[] = [];
  #adapterFeeds: Readonly<Record<string, TensorValue>>;

  private constructor(model: OpenModel, files: WeightFiles, options: GenerationOptions, opened: OpenedGraph) {
    this.#model = model;
    this.#files = files;
    this.#options = options;
    this.#session = opened.session;
    this.#inputs = opened.inputs;
    this.#adapterFeeds = adapterFeeds(model, noSlots, []);
    this.#cache = new Cache(model.spec);
  }

  /** What a file has quantized is multiplied as it is. */
  static async open(given: OpenModel, options: GenerationOptions): Promise<GenerationSession> {
    const model = quantizedModel(given, 'stored');
    const files = await model.weights.files(options.cacheDir);
    return new GenerationSession(model, files, options, await openGraph(model.spec, files, noSlots, options));
  }

  /** Tokens that have been fed since the last reset. */
  get length(): number {
    return this.#cache.length;
  }

  /** Several weighted adapters act as one; none is the base. What was cached is forgotten. */
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
    this.#cache = new Cache(this.#model.spec);
    this.#fed = [];
  }

  /** Feeds tokens after what is cached; logits `[vocabulary]` of the last one. */
  async feed(tokens: readonly number[]): Promise<Float32Array> {
    assert(tokens.length > 0, 'nothing to feed');
    const past = this.#cache.length;
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

  async #feedPiece(tokens: readonly number[], length: number): Promise<Float32Array<ArrayBuffer>> {
    const time = tokens.length;
    const past = this.#cache.length;
    const feeds: Record<string, TensorValue> = {
      ...this.#adapterFeeds,
      ...sequenceFeeds(this.#model.spec, { inputIds: Int32Array.from(tokens), time, past, room: this.#cache.room, length }),
      ...this.#cache.feeds(),
      rows: int64([time - 1], [1]),
    };
    const result = await this.#session.run(only(this.#inputs, feeds));
    this.#cache.add(time, result['new.key']!.data as Float32Array, result['new.value']!.data as Float32Array);
    return result['logits']!.data as Float32Array<ArrayBuffer>;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** Keys `[heads, width, room]` and values `[heads, room, width]` of every layer: they are read where they lie, and new tokens add their own. */
class Cache {
  #length = 0;
  /** Never none, of which the runtime could make no product. */
  #room = 1;
  #layers: { readonly key: Float32Array; readonly value: Float32Array }[];
  readonly #heads: number;
  readonly #width: number;

  constructor({ layers, keyValueHeads, headDim }: DecoderSpec) {
    this.#heads = keyValueHeads;
    this.#width = headDim;
    const empty = (): Float32Array => new Float32Array(keyValueHeads * headDim);
    this.#layers = Array.from({ length: layers }, () => ({ key: empty(), value: empty() }));
  }

  get length(): number {
    return this.#length;
  }
  get room(): number {
    return this.#room;
  }

  feeds(): Record<string, TensorValue> {
    const [heads, room, width] = [this.#heads, this.#room, this.#width];
    return Object.fromEntries(
      this.#layers.flatMap(({ key, value }, i) => [
        [`past.${i}.key`, float32(key, [heads, 1, width, room])],
        [`past.${i}.value`, float32(value, [heads, 1, room, width])],
      ]),
    );
  }

  /** `keys` are `[layers, heads, width, time]` and `values` `[layers, heads, time, width]`. */
  add(time: number, keys: Float32Array, values: Float32Array): void {
    this.#reserve(this.#length + time);
    const [heads, width] = [this.#heads, this.#width];
    const size = heads * width * time;
    for (const [i, { key, value }] of this.#layers.entries()) {
      this.#place(keys.subarray(i * size, (i + 1) * size), time, key, heads * width, 1);
      this.#place(values.subarray(i * size, (i + 1) * size), time, value, heads, width);
    }
    this.#length += time;
  }

  /** In each of so many lines, tokens of so many numbers go where the used room ends. */
  #place(tokens: Float32Array, time: number, cached: Float32Array, lines: number, numbers: number): void {
    const length = time * numbers;
    for (let line = 0; line < lines; line++) {
      const to = (line * this.#room + this.#length) * numbers;
      for (let i = 0; i < length; i++) cached[to + i] = tokens[line * length + i]!;
    }
  }

  /** Room is scored whether it is used or not, so there is little more than what is needed. */
  #reserve(tokens: number): void {
    if (tokens <= this.#room) return;
    const [before, heads, width] = [this.#room, this.#heads, this.#width];
    this.#room = Math.ceil(tokens / ROOM) * ROOM;
    const grown = (old: Float32Array, lines: number, numbers: number): Float32Array => {
      const larger = new Float32Array(lines * this.#room * numbers);
      for (let line = 0; line < lines; line++) {
        const from = line * before * numbers;
        larger.set(old.subarray(from, from + this.#length * numbers), line * this.#room * numbers);
      }
      return larger;
    };
    this.#layers = this.#layers.map(({ key, value }) => ({
      key: grown(key, heads * width, 1),
      value: grown(value, heads, width),
    }));
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

/** One row of new tokens after those cached. */
export function buildGeneration(spec: DecoderSpec, files: WeightFiles, slots: AdapterSlots): Graph {
  const g = new Graph();
  const { heads, keyValueHeads, headDim, scoreCap: cap } = spec;
  const sequence = sequenceInputs(g, spec, { batch: 1, tokens: 'time', keys: sum(['room', 'time']), blocks: 1 });
  const rows = g.input('rows', 'int64', [1]);
  const adapted = adapterInputs(g, spec, files, slots);
  const added = { key: [] as Value[], value: [] as Value[] };
  const options: DecoderOptions = {
    ...adapted,
    ...packedReading(g, spec, files, adapted, (name) => !slots.replaced.has(name)),
    recompute: 0,
    attend(layer, inputs) {
      const { window, scoreScale: scale } = spec.blocks[layer]!;
      const past = (what: string, ...dims: Dim[]): Value =>
        g.input(`past.${layer}.${what}`, 'float32', [keyValueHeads, 1, ...dims]);
      const cached = { key: past('key', headDim, 'room'), value: past('value', 'room', headDim) };
      const masked = { ...inputs, mask: sequence.masks.get(window)! };
      const { mixed, own } = attendCached(g, 'time', masked, cached, { heads, keyValueHeads, headDim, scale, cap });
      added.key.push(own.key);
      added.value.push(own.value);
      return mixed;
    },
  };
  g.output('logits', logits(g, spec, decoder(g, spec, sequence, options), rows, options));
  for (const what of ['key', 'value'] as const) g.output(`new.${what}`, concat(g, added[what], { axis: 0 }));
  return g;
}
