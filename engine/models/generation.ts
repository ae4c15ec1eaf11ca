/** Text generation with a cache of keys and values. The factors of every linear layer are inputs, so adapters change without a new session. */
import { assert } from '../problem.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { concat } from '../graph/ops/shape.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import type { Adapter } from '../training/lora.ts';
import { decoder, logits, weightsOf, type WeightFiles } from './decoder.ts';
import type { OpenModel } from './open.ts';
import { float32, int64, only, sequenceFeeds, sequenceInputs } from './sequence.ts';
import { linearLayers, type DecoderSpec, type LinearLayer } from './spec.ts';

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
  readonly #spec: DecoderSpec;
  readonly #session: GraphSession;
  readonly #inputs: readonly string[];
  readonly #linears: readonly LinearLayer[];
  readonly #cache: LayerCache[];
  #capacity = FIRST_CAPACITY;
  #cached = 0;
  #factors: Readonly<Record<string, TensorValue>> = {};

  private constructor(spec: DecoderSpec, session: GraphSession, inputs: readonly string[]) {
    this.#spec = spec;
    this.#session = session;
    this.#inputs = inputs;
    this.#linears = linearLayers(spec);
    this.#cache = Array.from({ length: spec.layers }, () => ({
      keys: new Float32Array(FIRST_CAPACITY * this.#width),
      values: new Float32Array(FIRST_CAPACITY * this.#width),
    }));
    this.useAdapters([]);
  }

  static async open(
    { spec, weights }: Pick<OpenModel, 'spec' | 'weights'>,
    { threads, cacheDir, openSession }: GenerationOptions,
  ): Promise<GenerationSession> {
    const graph = buildGeneration(spec, await weights.float32Files(cacheDir));
    const session = await openSession(encodeModel(graph), { threads, provider: 'cpu' });
    return new GenerationSession(
      spec,
      session,
      graph.inputs.map(({ name }) => name),
    );
  }

  /** Tokens that have been fed since the last reset. */
  get length(): number {
    return this.#cached;
  }

  /** Several weighted adapters act as one of their ranks' sum; none is the base. What was cached is forgotten. */
  useAdapters(adapters: readonly { readonly adapter: Adapter; readonly weight: number }[]): void {
    this.#factors = Object.fromEntries(this.#linears.flatMap((layer) => stackedFactors(layer, adapters)));
    this.reset();
  }

  reset(): void {
    this.#cached = 0;
  }

  /** Feeds tokens after what is cached; logits `[vocabulary]` of the last one. */
  async feed(tokens: readonly number[]): Promise<Float32Array> {
    assert(tokens.length > 0, 'nothing to feed');
    let last = new Float32Array(0);
    for (let start = 0; start < tokens.length; start += LONGEST_PIECE)
      last = await this.#feedPiece(tokens.slice(start, start + LONGEST_PIECE));
    return last;
  }

  async #feedPiece(tokens: readonly number[]): Promise<Float32Array<ArrayBuffer>> {
    const time = tokens.length;
    const past = this.#cached;
    const keys = past + time;
    const feeds: Record<string, TensorValue> = {
      ...this.#factors,
      ...sequenceFeeds(this.#spec, { inputIds: Int32Array.from(tokens), time, past }),
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
    return this.#spec.keyValueHeads * this.#spec.headDim;
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

/** One row of new tokens after those cached; every linear layer takes factors of any rank, 0 included. */
export function buildGeneration(spec: DecoderSpec, files: WeightFiles): Graph {
  const g = new Graph();
  const width = spec.keyValueHeads * spec.headDim;
  const sequence = sequenceInputs(g, spec, { batch: 1, tokens: 'time', keys: 'keys' });
  const rows = g.input('rows', 'int64', [1]);
  const factors = new Map(
    linearLayers(spec).map(({ path, inFeatures, outFeatures }) => {
      const rank = `rank of ${path}`;
      const a = g.input(`${path}.lora_A`, 'float32', [rank, inFeatures]);
      const b = g.input(`${path}.lora_B`, 'float32', [outFeatures, rank]);
      return [path, { a, b, scale: 1 }];
    }),
  );
  const options = {
    weight: weightsOf(g, files),
    lora: (path: string) => factors.get(path) ?? null,
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

/** Factors of one linear layer over all adapters: A one above the other, B side by side with weight and scale in it. */
function stackedFactors(
  { path, inFeatures, outFeatures }: LinearLayer,
  adapters: readonly { readonly adapter: Adapter; readonly weight: number }[],
): [string, TensorValue][] {
  const parts = adapters.flatMap(({ adapter: { shape, parameters }, weight }) => {
    const own = shape.tensors.filter((tensor) => tensor.path === path);
    const a = own.find(({ part }) => part === 'A');
    const b = own.find(({ part }) => part === 'B');
    return a === undefined || b === undefined ? [] : [{ a, b, parameters, weight }];
  });
  const rank = parts.reduce((sum, { a }) => sum + a.shape[0], 0);
  const stackedA = new Float32Array(rank * inFeatures);
  const stackedB = new Float32Array(outFeatures * rank);
  let before = 0;
  for (const { a, b, parameters, weight } of parts) {
    const own = a.shape[0];
    stackedA.set(parameters.subarray(a.offset, a.offset + own * inFeatures), before * inFeatures);
    for (let row = 0; row < outFeatures; row++)
      for (let k = 0; k < own; k++)
        stackedB[row * rank + before + k] = weight * a.scale * parameters[b.offset + row * own + k]!;
    before += own;
  }
  return [
    [`${path}.lora_A`, float32(stackedA, [rank, inFeatures])],
    [`${path}.lora_B`, float32(stackedB, [outFeatures, rank])],
  ];
}
