/** Text generation with a cache of keys and values. Adapters are inputs: they change without a new session as long as they need nothing new. */
import { assert } from '../problem.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { concat } from '../graph/ops/shape.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import type { WeightedAdapter } from '../training/lora/delta.ts';
import { adapterFeeds, adapterInputs, noSlots, sameSlots, slotsFor, type AdapterSlots } from './adapter-inputs.ts';
import { decoder, logits, packedProducts, type WeightFiles } from './decoder.ts';
import type { OpenModel } from './open.ts';
import { turnsOtherwise } from './rope.ts';
import { float32, int64, only, sequenceFeeds, sequenceInputs } from './sequence.ts';
import type { DecoderSpec } from './spec.ts';

type GenerationModel = Pick<OpenModel, 'spec' | 'weights'>;

export interface GenerationOptions {
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
}

/** Keys and values of one layer, a row of all heads per token, with room to grow: what is cached is fed without a copy. */
interface LayerCache {
  keys: Float32Array;
  values: Float32Array;
}

const FIRST_CAPACITY = 256;
/** A long prompt goes in by pieces: its scores are piece times all keys, not keys squared. */
const LONGEST_PIECE = 512;

export class GenerationSession {
  readonly #model: GenerationModel;
  readonly #files: WeightFiles;
  readonly #options: GenerationOptions;
  readonly #cache: LayerCache[];
  #session: GraphSession;
  #inputs: readonly string[];
  #slots = noSlots;
  #capacity = FIRST_CAPACITY;
  #cached = 0;
  /** What was fed since the last reset. */
  #fed: number[] = [];
  #adapterFeeds: Readonly<Record<string, TensorValue>>;

  private constructor(model: GenerationModel, files: WeightFiles, options: GenerationOptions, opened: OpenedGraph) {
    this.#model = model;
    this.#files = files;
    this.#options = options;
    this.#session = opened.session;
    this.#inputs = opened.inputs;
    this.#adapterFeeds = adapterFeeds(model, noSlots, []);
    this.#cache = Array.from({ length: model.spec.layers }, () => ({
      keys: new Float32Array(FIRST_CAPACITY * this.#width),
      values: new Float32Array(FIRST_CAPACITY * this.#width),
    }));
  }

  static async open(model: GenerationModel, options: GenerationOptions): Promise<GenerationSession> {
    const files = await model.weights.files(options.cacheDir);
    return new GenerationSession(model, files, options, await openGraph(model.spec, files, noSlots, options));
  }

  /** Tokens that have been fed since the last reset. */
  get length(): number {
    return this.#cached;
  }

  /** Several weighted adapters act as one; none is the base. What was cached is forgotten. */
  async useAdapters(adapters: readonly WeightedAdapter[]): Promise<void> {
    const slots = slotsFor(this.#model.spec, adapters, this.#slots);
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
    this.#cached = 0;
    this.#fed = [];
  }

  /** Feeds tokens after what is cached; logits `[vocabulary]` of the last one. */
  async feed(tokens: readonly number[]): Promise<Float32Array> {
    assert(tokens.length > 0, 'nothing to feed');
    const length = this.#cached + tokens.length;
    if (this.#cached > 0 && this.#model.spec.ropes.some((rope) => turnsOtherwise(rope, this.#cached, length))) {
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
    const past = this.#cached;
    const keys = past + time;
    const feeds: Record<string, TensorValue> = {
      ...this.#adapterFeeds,
      ...sequenceFeeds(this.#model.spec, { inputIds: Int32Array.from(tokens), time, past, length }),
      rows: int64([time - 1], [1]),
    };
    this.#cache.forEach((layer, i) => {
      feeds[`past.${i}.key`] = float32(layer.keys.subarray(0, past * this.#width), [past, this.#width]);
      feeds[`past.${i}.value`] = float32(layer.values.subarray(0, past * this.#width), [past, this.#width]);
    });
    const result = await this.#session.run(only(this.#inputs, feeds));
    this.#reserve(keys);
    this.#cache.forEach((layer, i) => {
      layer.keys.set(result[`new.${i}.key`]!.data as Float32Array, past * this.#width);
      layer.values.set(result[`new.${i}.value`]!.data as Float32Array, past * this.#width);
    });
    this.#cached = keys;
    return result['logits']!.data as Float32Array<ArrayBuffer>;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  get #width(): number {
    return this.#model.spec.keyValueHeads * this.#model.spec.headDim;
  }

  #reserve(tokens: number): void {
    if (tokens <= this.#capacity) return;
    while (this.#capacity < tokens) this.#capacity *= 2;
    const grown = (old: Float32Array): Float32Array => {
      const larger = new Float32Array(this.#capacity * this.#width);
      larger.set(old.subarray(0, this.#cached * this.#width));
      return larger;
    };
    for (const layer of this.#cache) {
      layer.keys = grown(layer.keys);
      layer.values = grown(layer.values);
    }
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
  const session = await openSession(encodeModel(graph), { threads, provider: 'cpu', prepack });
  return { session, inputs: graph.inputs.map(({ name }) => name) };
}

/** One row of new tokens after those cached; every linear layer takes factors of any rank, 0 included. */
export function buildGeneration(spec: DecoderSpec, files: WeightFiles, slots: AdapterSlots): Graph {
  const g = new Graph();
  const width = spec.keyValueHeads * spec.headDim;
  const sequence = sequenceInputs(g, spec, { batch: 1, tokens: 'time', keys: 'keys', blocks: 1 });
  const rows = g.input('rows', 'int64', [1]);
  const adapted = adapterInputs(g, spec, files, slots);
  const options = {
    ...adapted,
    linear: packedProducts(g, files, adapted, (name) => !slots.replaced.has(name)),
    recompute: false,
    extendCache(layer: number, keys: Value, values: Value): [Value, Value] {
      const extend = (what: string, value: Value): Value => {
        g.output(`new.${layer}.${what}`, value);
        const past = g.input(`past.${layer}.${what}`, 'float32', ['past', width]);
        return concat(g, [past, value], { axis: 0, total: 'keys' });
      };
      return [extend('key', keys), extend('value', values)];
    },
  };
  g.output('logits', logits(g, spec, decoder(g, spec, sequence, options), rows, options));
  return g;
}
