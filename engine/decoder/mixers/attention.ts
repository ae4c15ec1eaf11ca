/** Builds the graph of grouped-query attention: projections, norms, rotation, scores. */
import type { Dim } from '../../graph/dim.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Value } from '../../graph/node.ts';
import { attention, cachedAttention, equalParts, leadingParts } from '../../graph/ops/attention.ts';
import { clip, mul } from '../../graph/ops/elementwise.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import { reshape, sliceLast, transpose } from '../../graph/ops/shape.ts';
import type { Attention } from '../../models/mixers/attention.ts';
import type { StateArray } from '../../models/parts.ts';
import { assert } from '../../problem.ts';
import { normalize } from '../norm.ts';
import type { PartBuilder, PartPlace } from '../part.ts';
import type { Rotation, Sequence } from '../sequence.ts';

export const buildAttention: PartBuilder<Attention> = (place, mixer, x) => {
  const { g, layer, sequence, options, project } = place;
  const { heads, keyValueHeads, window, rope } = mixer;
  const [query, key, value] = queryKeyValue(place, mixer, x);

  const mixed = g.scope('attention', () => {
    const placed = (role: 'attn_q_norm' | 'attn_k_norm', y: Value, count: number): Value => {
      const normed = queryKeyNorm(place, mixer, role, y, count);
      if (rope === null) return normed;
      const rotation = sequence.rotations[rope]!;
      return rotate(place, mixer, role === 'attn_q_norm' ? rotation.query : rotation.key, rope, normed, count);
    };
    const placedQuery = placed('attn_q_norm', query, heads);
    const placedKey = placed('attn_k_norm', key, keyValueHeads);
    if (options.attend) return options.attend(mixer, layer, { query: placedQuery, key: placedKey, value });
    const mask = sequence.masks.get(window);
    assert(mask !== undefined, `no mask for a window of ${window}`);
    const inputs = { query: placedQuery, key: placedKey, value, mask };
    const state = options.state?.(layer);
    if (state === undefined) return attend(g, sequence, inputs, mixer);
    const cached = { key: state.past['key']!, value: state.past['value']! };
    const { mixed, own } = attendCached(g, sequence.time, inputs, cached, mixer);
    state.put('key', own.key);
    state.put('value', own.value);
    return mixed;
  });
  return project('attn_output', mixed);
};

/**
 * Returns the layout of cached keys and values that the products of generation read in place: tokens are the last axis of keys.
 */
export function cachedAttentionState({ keyValueHeads, headDim }: Attention): StateArray[] {
  return [
    { name: 'key', shape: [keyValueHeads, 1, headDim, 'tokens'] },
    { name: 'value', shape: [keyValueHeads, 1, 'tokens', headDim] },
  ];
}

/** Builds queries, keys and values, each `[tokens, heads * headDim]` of their own heads, from three matrices or one. */
function queryKeyValue(
  { g, sequence: { tokens }, project }: PartPlace,
  { heads, keyValueHeads, headDim, fused: layout, clip: bound }: Attention,
  x: Value,
): readonly [query: Value, key: Value, value: Value] {
  const clipped = (y: Value): Value => (bound === null ? y : clip(g, [y], { low: -bound, high: bound }));
  if (layout === null) return [clipped(project('attn_q', x)), clipped(project('attn_k', x)), clipped(project('attn_v', x))];
  const fused = clipped(project('attn_qkv', x));
  if (layout === 'by-kind') {
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
  { g, sequence: { tokens }, options, path: pathOf }: PartPlace,
  { headDim, queryKeyNorm }: Attention,
  role: 'attn_q_norm' | 'attn_k_norm',
  y: Value,
  count: number,
): Value {
  if (queryKeyNorm === null) return y;
  const { over, norm } = queryKeyNorm;
  const path = pathOf(role);
  if (over === 'all-heads') return normalize(g, norm, path, y, options);
  const byHead = reshape(g, [y], { shape: [tokens, count, headDim] });
  const normed =
    over === 'head'
      ? normalize(g, norm, path, byHead, options)
      : // A weight for each head: `[heads, headDim]`.
        mul(g, [normalize(g, { ...norm, weight: 'none' }, path, byHead, options), options.weight(`${path}.weight`)]);
  return reshape(g, [normed], { shape: [tokens, count * headDim] });
}

function rotate(
  { g, spec, sequence: { batch, time, tokens, position } }: PartPlace,
  { headDim }: Attention,
  { cos, sin }: Rotation,
  rope: number,
  y: Value,
  count: number,
): Value {
  const { dimension, interleaved } = spec.ropes[rope]!;
  const width = count * headDim;
  const inRows = reshape(g, [y], { shape: [batch, time, width] });
  const rotated = rotary(g, [inRows, position, cos, sin], { heads: count, dimension, interleaved });
  return reshape(g, [rotated], { shape: [tokens, width] });
}

interface AttentionInputs {
  /** Holds the queries `[tokens, heads * headDim]`. */
  readonly query: Value;
  /** Holds the keys `[tokens, keyValueHeads * headDim]`; `value` has the same shape. */
  readonly key: Value;
  readonly value: Value;
  /** Holds the mask that is added to the scores: 0 where a token may look, hugely negative where it may not. */
  readonly mask: Value;
}

/**
 * Builds the weighted values `[tokens, heads * headDim]`. The query heads that share a key head are a dimension of their own,
 * so that keys and values are never repeated.
 */
function attend(
  g: Graph,
  { batch, time, tokens, queryBlocks }: Sequence,
  { query, key, value, mask }: AttentionInputs,
  { heads, keyValueHeads, headDim, scoreScale: scale, scoreCap: cap }: Attention,
): Value {
  assert(heads % keyValueHeads === 0, 'query heads are not a multiple of key heads');
  const group = heads / keyValueHeads;
  const byHead = (y: Value, rows: Dim, shared: number): Value =>
    transpose(g, [reshape(g, [y], { shape: [batch, rows, keyValueHeads, shared, headDim] })], {
      permutation: [0, 2, 3, 1, 4],
    });
  const inputs = [
    byHead(query, time, group),
    byHead(key, time, 1),
    byHead(value, time, 1),
    ...maskBlocks(g, mask, queryBlocks),
  ];
  const mixed = attention(g, inputs, { scale, cap });
  return reshape(g, [transpose(g, [mixed], { permutation: [0, 3, 1, 2, 4] })], { shape: [tokens, heads * headDim] });
}

/**
 * Builds the same for one row that continues after the cache, and the keys and values of its tokens as the cache keeps them.
 * `mask` covers the whole room of the cache and then these tokens.
 */
function attendCached(
  g: Graph,
  time: Dim,
  { query, key, value, mask }: AttentionInputs,
  cached: Readonly<Record<'key' | 'value', Value>>,
  { heads, keyValueHeads, headDim, scoreScale: scale, scoreCap: cap }: Attention,
): { readonly mixed: Value; readonly own: typeof cached } {
  const byHead = (y: Value, shared: number, permutation: readonly number[]): Value =>
    transpose(g, [reshape(g, [y], { shape: [time, keyValueHeads, shared, headDim] })], { permutation });
  const own = { key: byHead(key, 1, [1, 2, 3, 0]), value: byHead(value, 1, [1, 2, 0, 3]) };
  const mixed = cachedAttention(g, byHead(query, heads / keyValueHeads, [1, 2, 0, 3]), cached, own, mask, { scale, cap });
  const rows = transpose(g, [mixed], { permutation: [2, 0, 1, 3] });
  return { mixed: reshape(g, [rows], { shape: [time, heads * headDim] }), own };
}

/** Builds the part of the mask for each block of queries, up to the last key it may see; all layers share these parts. */
function maskBlocks(g: Graph, mask: Value, blocks: number): readonly Value[] {
  if (blocks === 1) return [mask];
  return g.memo(mask, `${blocks} blocks`, () =>
    equalParts(g, mask, 0, blocks).map((rows, i) => leadingParts(g, rows, 1, blocks)[i]!),
  );
}
