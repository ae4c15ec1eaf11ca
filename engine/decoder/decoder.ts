/** The one builder of decoder graphs, read top to bottom: from a DecoderSpec and weights to hidden states. */
import { assert } from '../problem.ts';
import type { Graph, Value } from '../graph/graph.ts';
import type { PlainOp } from '../graph/op.ts';
import { gelu, geluTanh, relu, silu, tanh } from '../graph/ops/activation.ts';
import { add, clip, mul } from '../graph/ops/elementwise.ts';
import { embedding } from '../graph/ops/embedding.ts';
import type { LoraFactors } from '../graph/ops/matmul.ts';
import { linear } from '../graph/ops/matmul.ts';
import { layerNorm, rmsNorm } from '../graph/ops/normalization.ts';
import { dequantized, packedLinear, packedRows, productInParts, widened, type PackedWeight } from '../graph/ops/packed.ts';
import { rotary } from '../graph/ops/rotary.ts';
import { gatherRows, reshape, sliceLast } from '../graph/ops/shape.ts';
import { recompute } from '../graph/recompute.ts';
import { attend } from './attention.ts';
import type { Rotation, Sequence } from './sequence.ts';
import {
  blockLinears,
  modulePath,
  storedName,
  type Activation,
  type DecoderSpec,
  type LinearLayer,
  type LinearRole,
  type NormRole,
  type NormSpec,
} from '../models/spec.ts';
import type { PackedLocation, WeightLocation } from '../models/weights.ts';

export type WeightFiles = ReadonlyMap<string, WeightLocation>;

export interface DecoderOptions {
  /** Frozen, or an input that is trained. */
  readonly weight: (name: string) => Value;
  /** The factors that adapt the module at a path, or null. */
  readonly lora: (path: string) => LoraFactors | null;
  /** What is added to the embedded tokens `[tokens, hidden]` while training. */
  readonly noise?: Value;
  /** Of so many blocks, from the first, keep only the input for the backward. */
  readonly recompute: number;
  /** Computes a linear layer another way, from packed weights for one; null: as usual. */
  readonly linear?: (path: string, x: Value, bias: Value | null) => Value | null;
  /** Computes the output head another way, in the graph that is given: the loss has one of its own; null: as usual. */
  readonly head?: (g: Graph, x: Value, bias: Value | null, lora: LoraFactors | null) => Value | null;
  /** Picks rows of the embedding another way, out of a packed one; null: as usual. */
  readonly rows?: (path: string, ids: Value) => Value | null;
  /** Attends another way, with a cache of its own; all are `[tokens, heads * headDim]` of their own heads. */
  readonly attend?: (layer: number, inputs: Record<'query' | 'key' | 'value', Value>) => Value;
}

/** Hidden states `[tokens, hidden]` after the last block, before the final norm. */
export function decoder(g: Graph, spec: DecoderSpec, sequence: Sequence, options: DecoderOptions): Value {
  let x = embed(g, spec, sequence, options);
  for (let layer = 0; layer < spec.layers; layer++) {
    const input = x;
    const build = () => g.scope(`${spec.modules.blocks}.${layer}`, () => block(g, spec, sequence, options, layer, input));
    x = layer < options.recompute ? recompute(g, build) : build();
  }
  return x;
}

/** Hidden rows `[rows, hidden]` chosen out of `[tokens, hidden]` (null: all of them), normed and scaled: what the output head reads. */
export function headInput(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value | null, options: DecoderOptions): Value {
  const path = spec.modules.output_norm;
  const chosen = rows === null ? hidden : gatherRows(g, [hidden, rows]);
  const normed = g.scope(path, () => normalize(g, spec.norm, path, chosen, options));
  return spec.head.scale === 1 ? normed : mul(g, [normed, g.scalar(spec.head.scale)]);
}

/** Logits `[rows, vocabulary]` of what the output head reads. A tied head asks for its weight by its own name too. */
export function headLogits(g: Graph, { modules, head }: DecoderSpec, x: Value, options: DecoderOptions): Value {
  const path = modules.output;
  return g.scope(path, () => {
    const bias = head.bias ? options.weight(`${path}.bias`) : null;
    const plain =
      options.head?.(g, x, bias, options.lora(path)) ??
      options.linear?.(path, x, bias) ??
      linear(g, x, options.weight(`${path}.weight`), bias, options.lora(path));
    return head.cap === null ? plain : capped(g, plain, head.cap);
  });
}

/** Logits `[rows, vocabulary]` of hidden rows chosen out of `[tokens, hidden]`. */
export function logits(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value | null, options: DecoderOptions): Value {
  return headLogits(g, spec, headInput(g, spec, hidden, rows, options), options);
}

/** Embedded tokens `[tokens, hidden]`. */
function embed(g: Graph, spec: DecoderSpec, { inputIds, positions }: Sequence, options: DecoderOptions): Value {
  const { modules, embeddingScale } = spec;
  const path = modules.token_embd;
  const embedded = g.scope(path, () => {
    const rows = options.rows?.(path, inputIds) ?? gatherRows(g, [options.weight(`${path}.weight`), inputIds]);
    return embedding(g, inputIds, rows, options.lora(path));
  });
  const noisy = options.noise === undefined ? embedded : add(g, [embedded, options.noise]);
  const scaled = embeddingScale === 1 ? noisy : mul(g, [noisy, g.scalar(embeddingScale)]);
  if (positions === null) return scaled;
  return g.scope(modules.position_embd!, () =>
    add(g, [scaled, gatherRows(g, [options.weight(`${modules.position_embd}.weight`), positions])]),
  );
}

function block(g: Graph, spec: DecoderSpec, sequence: Sequence, options: DecoderOptions, layer: number, x: Value): Value {
  const norm = (role: NormRole, y: Value): Value => {
    const path = modulePath(spec, layer, role);
    return path === null ? y : g.scope(spec.modules.block[role]!, () => normalize(g, spec.norm, path, y, options));
  };
  const project = projections(g, spec, options, layer);
  const scaled = (y: Value): Value => (spec.residualScale === 1 ? y : mul(g, [y, g.scalar(spec.residualScale)]));

  const attentionInput = norm('attn_norm', x);
  const attended = scaled(norm('post_attention_norm', attention(g, spec, sequence, options, layer, attentionInput, project)));
  if (spec.parallel) {
    const feedForwardInput = spec.modules.block.ffn_norm === undefined ? attentionInput : norm('ffn_norm', x);
    return add(g, [add(g, [x, attended]), scaled(feedForward(g, spec, feedForwardInput, project))]);
  }
  const middle = add(g, [x, attended]);
  return add(g, [middle, scaled(norm('post_ffw_norm', feedForward(g, spec, norm('ffn_norm', middle), project)))]);
}

type Project = (role: LinearRole, y: Value) => Value;

/** The linear layers of a block, adapted where there are factors. */
function projections(g: Graph, spec: DecoderSpec, options: DecoderOptions, layer: number): Project {
  const linears = new Map<LinearRole, LinearLayer>(blockLinears(spec, layer).map((found) => [found.role, found]));
  return (role, y) => {
    const found = linears.get(role);
    assert(found !== undefined, `a ${spec.family} block has no ${role}`);
    const { path, bias } = found;
    return g.scope(spec.modules.block[role]!, () => {
      const ownBias = bias ? options.weight(`${path}.bias`) : null;
      return options.linear?.(path, y, ownBias) ?? linear(g, y, options.weight(`${path}.weight`), ownBias, options.lora(path));
    });
  };
}

/** Grouped-query attention of one block: projections, norms, rotation, cache, scores. */
function attention(
  g: Graph,
  spec: DecoderSpec,
  sequence: Sequence,
  options: DecoderOptions,
  layer: number,
  x: Value,
  project: Project,
): Value {
  const { heads, keyValueHeads, headDim, scoreCap } = spec;
  const { window, rope, scoreScale } = spec.blocks[layer]!;
  const { tokens } = sequence;
  const [query, key, value] = queryKeyValue(g, spec, x, tokens, project);

  const mixed = g.scope('attention', () => {
    const place = (role: 'attn_q_norm' | 'attn_k_norm', y: Value, count: number): Value => {
      const normed = queryKeyNorm(g, spec, options, layer, role, y, count, tokens);
      if (rope === null) return normed;
      const rotation = sequence.rotations[rope]!;
      return rotate(g, spec, sequence, role === 'attn_q_norm' ? rotation.query : rotation.key, rope, normed, count);
    };
    const placedQuery = place('attn_q_norm', query, heads);
    const placedKey = place('attn_k_norm', key, keyValueHeads);
    if (options.attend) return options.attend(layer, { query: placedQuery, key: placedKey, value });
    const mask = sequence.masks.get(window);
    assert(mask !== undefined, `no mask for a window of ${window}`);
    const shape = { heads, keyValueHeads, headDim, scale: scoreScale, cap: scoreCap };
    return attend(g, sequence, { query: placedQuery, key: placedKey, value, mask }, shape);
  });
  return project('attn_output', mixed);
}

/** Each `[tokens, heads * headDim]`, from three matrices or one. */
function queryKeyValue(
  g: Graph,
  { heads, keyValueHeads, headDim, modules, fusedLayout, clip: bound }: DecoderSpec,
  x: Value,
  tokens: Sequence['tokens'],
  project: Project,
): readonly [query: Value, key: Value, value: Value] {
  const clipped = (y: Value): Value => (bound === null ? y : clip(g, [y], { low: -bound, high: bound }));
  if (modules.block.attn_qkv === undefined)
    return [clipped(project('attn_q', x)), clipped(project('attn_k', x)), clipped(project('attn_v', x))];
  const fused = clipped(project('attn_qkv', x));
  if (fusedLayout === 'by-kind') {
    const [q, kv] = [heads * headDim, keyValueHeads * headDim];
    const rows = (start: number, end: number): Value => sliceLast(g, [fused], { start, end });
    return [rows(0, q), rows(q, q + kv), rows(q + kv, q + 2 * kv)];
  }
  assert(heads === keyValueHeads, 'queries, keys and values by head need as many key heads as query heads');
  const byHead = reshape(g, [fused], { shape: [tokens, heads, 3 * headDim] });
  const ofKind = (kind: number): Value =>
    reshape(g, [sliceLast(g, [byHead], { start: kind * headDim, end: (kind + 1) * headDim })], {
      shape: [tokens, heads * headDim],
    });
  return [ofKind(0), ofKind(1), ofKind(2)];
}

function queryKeyNorm(
  g: Graph,
  spec: DecoderSpec,
  options: DecoderOptions,
  layer: number,
  role: 'attn_q_norm' | 'attn_k_norm',
  y: Value,
  count: number,
  tokens: Sequence['tokens'],
): Value {
  const path = modulePath(spec, layer, role);
  if (spec.queryKeyNorm === null || path === null) return y;
  const { over, norm } = spec.queryKeyNorm;
  if (over === 'all-heads') return normalize(g, norm, path, y, options);
  const byHead = reshape(g, [y], { shape: [tokens, count, spec.headDim] });
  const normed =
    over === 'head'
      ? normalize(g, norm, path, byHead, options)
      : // A weight for each head: `[heads, headDim]`.
        mul(g, [normalize(g, { ...norm, weight: 'none' }, path, byHead, options), options.weight(`${path}.weight`)]);
  return reshape(g, [normed], { shape: [tokens, count * spec.headDim] });
}

function rotate(
  g: Graph,
  spec: DecoderSpec,
  { batch, time, tokens, position }: Sequence,
  { cos, sin }: Rotation,
  rope: number,
  y: Value,
  count: number,
): Value {
  const { dimension, interleaved } = spec.ropes[rope]!;
  const width = count * spec.headDim;
  const inRows = reshape(g, [y], { shape: [batch, time, width] });
  const rotated = rotary(g, [inRows, position, cos, sin], { heads: count, dimension, interleaved });
  return reshape(g, [rotated], { shape: [tokens, width] });
}

const activations: Readonly<Record<Activation, PlainOp>> = { silu, gelu, gelu_tanh: geluTanh, relu };

function feedForward(
  g: Graph,
  { feedForward: { activation, kind }, intermediateSize }: DecoderSpec,
  x: Value,
  project: Project,
): Value {
  const act = activations[activation];
  if (kind === 'plain') return project('ffn_down', act(g, [project('ffn_up', x)]));
  const fused = kind === 'fused' ? project('ffn_up', x) : null;
  const part = (start: number): Value => sliceLast(g, [fused!], { start, end: start + intermediateSize });
  const gate = fused === null ? project('ffn_gate', x) : part(0);
  const up = fused === null ? project('ffn_up', x) : part(intermediateSize);
  return project('ffn_down', mul(g, [act(g, [gate]), up]));
}

/** Normalizes the last axis with the weights stored at a path. */
function normalize(
  g: Graph,
  { kind, epsilon, weight, bias }: NormSpec,
  path: string,
  x: Value,
  options: DecoderOptions,
): Value {
  const width = x.shape.at(-1);
  assert(typeof width === 'number', 'the normalized axis has no size');
  const factor = (): Value => {
    if (weight === 'none') return g.constant('float32', [width], Array<number>(width).fill(1));
    const stored = options.weight(`${path}.weight`);
    return weight === 'plusOne' ? add(g, [stored, g.scalar(1)]) : stored;
  };
  if (kind === 'rms') return rmsNorm(g, [x, factor()], { epsilon });
  return layerNorm(g, [x, factor(), ...(bias ? [options.weight(`${path}.bias`)] : [])], { epsilon });
}

/** cap · tanh(x / cap) */
function capped(g: Graph, x: Value, cap: number): Value {
  return mul(g, [tanh(g, [mul(g, [x, g.scalar(1 / cap)])]), g.scalar(cap)]);
}

/** Declares the weights of a model in a graph as they are asked for; a packed one is read back each time, so that it never stays. */
export function weightsOf(g: Graph, spec: DecoderSpec, files: WeightFiles): (name: string) => Value {
  return (asked) => {
    const name = storedName(spec, asked);
    const location = files.get(name);
    assert(location !== undefined, `the model has no tensor ${name}`);
    if ('bits' in location) return dequantized(g, packedWeight(name, location));
    const { dtype, shape, ...data } = location;
    return widened(g, g.weight(name, shape, data, dtype));
  };
}

function packedWeight(name: string, location: PackedLocation): PackedWeight {
  const { bits, blockSize, minimumGroup, shape } = location;
  const declare: PackedWeight['declare'] = (g, part, dtype, asked, start = 0) => {
    const { path, offset } = location[part]!;
    const length = asked.reduce((product, extent) => product * extent, dtype === 'float32' ? 4 : 1);
    const partName = `${name}.${part}.${dtype}x${asked.join('x')}${start === 0 ? '' : `.from${start}`}`;
    return g.weight(partName, asked, { path, offset: offset + start, length }, dtype);
  };
  const hasNibbleZeros = location.nibbleZeros !== null;
  return { rows: shape[0], columns: shape[1], bits, blockSize, minimumGroup, hasNibbleZeros, declare };
}

/** Reads packed matrices as they are, those that `asTheyAre` says. */
export function packedReading(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  { lora }: Pick<DecoderOptions, 'lora'>,
  asTheyAre: (name: string, bits: number) => boolean,
): Required<Pick<DecoderOptions, 'linear' | 'rows'>> {
  const packedAt = (path: string): PackedWeight | null => {
    const packed = packedModule(spec, files, path);
    return packed && asTheyAre(`${path}.weight`, packed.bits) ? packed : null;
  };
  return {
    linear(path, x, bias) {
      const packed = packedAt(path);
      return packed && packedLinear(g, x, packed, bias, lora(path));
    },
    rows(path, ids) {
      const packed = packedAt(path);
      return packed && packedRows(g, ids, packed, 'nibbles');
    },
  };
}

function packedModule(spec: DecoderSpec, files: WeightFiles, path: string): PackedWeight | null {
  const name = storedName(spec, `${path}.weight`);
  const location = files.get(name)!;
  return 'bits' in location ? packedWeight(name, location) : null;
}

/** Reads a packed embedding row by row and a packed head part by part, so that neither is ever there in float32, but where `isTrained`. */
export function packedEnds(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  isTrained: (name: string) => boolean,
): Required<Pick<DecoderOptions, 'head' | 'rows'>> {
  const packedAt = (path: string): PackedWeight | null =>
    isTrained(`${path}.weight`) ? null : packedModule(spec, files, path);
  return {
    head(body, x, bias, lora) {
      const packed = packedAt(spec.modules.output);
      if (packed === null) return null;
      const declare: PackedWeight['declare'] = (_, ...part) => packed.declare(g, ...part);
      return packedLinear(body, x, { ...packed, declare }, bias, lora, productInParts);
    },
    rows(path, ids) {
      const packed = packedAt(path);
      return packed && packedRows(g, ids, packed, 'halves');
    },
  };
}
