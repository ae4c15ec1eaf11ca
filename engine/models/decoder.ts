/** The one builder of decoder graphs, read top to bottom: from a DecoderSpec and weights to hidden states. */
import { assert } from '../problem.ts';
import type { Dim, Graph, Value } from '../graph/graph.ts';
import { silu } from '../graph/ops/activation.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import type { LoraFactors } from '../graph/ops/matmul.ts';
import { gemm, linear } from '../graph/ops/matmul.ts';
import { rmsNorm } from '../graph/ops/normalization.ts';
import { rotary } from '../graph/ops/rotary.ts';
import { gatherRows, reshape } from '../graph/ops/shape.ts';
import { recompute } from '../graph/recompute.ts';
import { attend } from './attention.ts';
import type { DecoderSpec } from './spec.ts';
import { linearLayers, ropeInverseFrequencies } from './spec.ts';
import type { Float32Location } from './weights.ts';

export type WeightFiles = ReadonlyMap<string, Float32Location>;

/** What flows into a decoder besides its weights. Rows of a batch are laid end to end: tokens = batch * time. */
export interface Sequence {
  readonly batch: Dim;
  readonly time: Dim;
  readonly tokens: Dim;
  /** Rows of scores of one key head: time times the query heads that share it. */
  readonly queries: Dim;
  /** Keys a token may look at: `time`, and with a cache what is cached too. */
  readonly keys: Dim;
  /** int64 `[tokens]` */
  readonly inputIds: Value;
  /** Position of the first token, int64 `[1]`. */
  readonly position: Value;
  /** `[positions, rope.dimension / 2]` */
  readonly cos: Value;
  readonly sin: Value;
  /** Added to the scores: 0 where a token may look, hugely negative where not. `[time, keys]` */
  readonly mask: Value;
}

/** The inputs of a graph over `time` tokens of every row. */
export function sequenceInputs(g: Graph, spec: DecoderSpec, dims: Pick<Sequence, 'batch' | 'tokens' | 'keys'>): Sequence {
  const half = spec.rope.dimension / 2;
  return {
    ...dims,
    time: 'time',
    queries: 'queries',
    inputIds: g.input('input_ids', 'int64', [dims.tokens]),
    position: g.input('position', 'int64', [1]),
    cos: g.input('cos', 'float32', ['time', half]),
    sin: g.input('sin', 'float32', ['time', half]),
    mask: g.input('mask', 'float32', ['time', dims.keys]),
  };
}

export interface DecoderOptions {
  readonly weight: (name: string) => Value;
  /** The factors that adapt the linear layer at a path, or null. */
  readonly lora: (path: string) => LoraFactors | null;
  /** Keep only each block's input for the backward. */
  readonly recompute: boolean;
  /** Puts cached keys and values `[tokens, keyValueHeads * headDim]` before a layer's own. */
  readonly extendCache?: (layer: number, keys: Value, values: Value) => readonly [keys: Value, values: Value];
}

/** Hidden states `[tokens, hidden]` after the last block, before the final norm. */
export function decoder(g: Graph, spec: DecoderSpec, sequence: Sequence, options: DecoderOptions): Value {
  let x = g.scope('model.embed_tokens', () => gatherRows(g, [options.weight('model.embed_tokens.weight'), sequence.inputIds]));
  for (let layer = 0; layer < spec.layers; layer++) {
    const input = x;
    const build = () => g.scope(`model.layers.${layer}`, () => block(g, spec, sequence, options, layer, input));
    x = options.recompute ? recompute(g, [input, ...trainedInputs(spec, options, layer)], build) : build();
  }
  return x;
}

/** Hidden rows `[rows, hidden]` chosen out of `[tokens, hidden]` and normed: what the output head reads. */
export function headInput(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value, options: DecoderOptions): Value {
  return g.scope('model.norm', () =>
    rmsNorm(g, [gatherRows(g, [hidden, rows]), options.weight('model.norm.weight')], { epsilon: spec.normEpsilon }),
  );
}

/** The output head `[vocabulary, hidden]`. */
export function headWeight(spec: DecoderSpec, options: DecoderOptions): Value {
  return options.weight(spec.tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
}

/** Logits `[rows, vocabulary]`. */
export function logits(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value, options: DecoderOptions): Value {
  const x = headInput(g, spec, hidden, rows, options);
  return g.scope('lm_head', () => gemm(g, [x, headWeight(spec, options)], { transB: true }));
}

function trainedInputs(spec: DecoderSpec, { lora }: DecoderOptions, layer: number): Value[] {
  return linearLayers(spec).flatMap((linearLayer) => {
    const factors = linearLayer.layer === layer ? lora(linearLayer.path) : null;
    return factors === null ? [] : [factors.a, factors.b];
  });
}

function block(g: Graph, spec: DecoderSpec, sequence: Sequence, options: DecoderOptions, layer: number, x: Value): Value {
  const path = `model.layers.${layer}`;
  const norm = (name: string, y: Value) =>
    g.scope(name, () => rmsNorm(g, [y, options.weight(`${path}.${name}.weight`)], { epsilon: spec.normEpsilon }));
  const project = (name: string, y: Value, hasBias: boolean) =>
    g.scope(name, () =>
      linear(
        g,
        y,
        options.weight(`${path}.${name}.weight`),
        hasBias ? options.weight(`${path}.${name}.bias`) : null,
        options.lora(`${path}.${name}`),
      ),
    );

  const attended = attention(g, spec, sequence, options, layer, norm('input_layernorm', x), project);
  const middle = add(g, [x, attended]);

  const y = norm('post_attention_layernorm', middle);
  const gate = project('mlp.gate_proj', y, spec.mlpBias);
  const up = project('mlp.up_proj', y, spec.mlpBias);
  const gated = g.scope('mlp', () => mul(g, [silu(g, [gate]), up]));
  return add(g, [middle, project('mlp.down_proj', gated, spec.mlpBias)]);
}

/** Grouped-query attention of one block: projections, rotation, cache, scores. */
function attention(
  g: Graph,
  { heads, keyValueHeads, headDim, attentionBias, rope }: DecoderSpec,
  sequence: Sequence,
  { extendCache }: DecoderOptions,
  layer: number,
  x: Value,
  project: (name: string, y: Value, hasBias: boolean) => Value,
): Value {
  const { batch, time, tokens, position, cos, sin, mask } = sequence;
  const rotate = (y: Value, count: number): Value => {
    const inRows = reshape(g, [y], { shape: [batch, time, count * headDim] });
    const rotated = rotary(g, [inRows, position, cos, sin], { heads: count, dimension: rope.dimension });
    return reshape(g, [rotated], { shape: [tokens, count * headDim] });
  };
  const query = project('self_attn.q_proj', x, attentionBias);
  const key = project('self_attn.k_proj', x, attentionBias);
  const value = project('self_attn.v_proj', x, attentionBias);

  const mixed = g.scope('self_attn', () => {
    const rotatedQuery = rotate(query, heads);
    const rotatedKey = rotate(key, keyValueHeads);
    const [allKeys, allValues] = extendCache?.(layer, rotatedKey, value) ?? [rotatedKey, value];
    const shape = { heads, keyValueHeads, headDim, scale: 1 / Math.sqrt(headDim) };
    return attend(g, sequence, { query: rotatedQuery, key: allKeys, value: allValues, mask }, shape);
  });
  return project('self_attn.o_proj', mixed, attentionBias);
}

/** Declares the weights of a model in a graph as they are asked for. */
export function weightsOf(g: Graph, files: WeightFiles): (name: string) => Value {
  return (name) => {
    const location = files.get(name);
    assert(location !== undefined, `the model has no tensor ${name}`);
    return g.weight(name, location.shape, location);
  };
}

/** cos and sin of positions `from` up to `to`, each `[to - from, rope.dimension / 2]`. */
export function ropeTables(spec: DecoderSpec, from: number, to: number): { cos: Float32Array; sin: Float32Array } {
  const frequencies = ropeInverseFrequencies(spec.rope);
  const angles = Array.from({ length: to - from }, (_, i) => frequencies.map((frequency) => (from + i) * frequency)).flat();
  return { cos: Float32Array.from(angles, Math.cos), sin: Float32Array.from(angles, Math.sin) };
}

/** Far below every score, and still finite when a score is added. */
const HIDDEN = -1e30;

/** The causal mask `[time, cached + time]`: a token sees what is cached, what came before it, and itself. */
export function causalMask(time: number, cached: number): Float32Array {
  const keys = cached + time;
  const mask = new Float32Array(time * keys);
  for (let t = 0; t < time; t++) mask.fill(HIDDEN, t * keys + cached + t + 1, (t + 1) * keys);
  return mask;
}
