/** Scaled dot-product attention over grouped heads. */
import { assert } from '../problem.ts';
import type { Dim, Graph, Value } from '../graph/graph.ts';
import { attention, cachedAttention, equalParts, leadingParts } from '../graph/ops/attention.ts';
import { reshape, transpose } from '../graph/ops/shape.ts';

export interface AttentionDims {
  readonly batch: Dim;
  readonly time: Dim;
  readonly tokens: Dim;
  /** Blocks of queries that are computed one after the other; of several of them `time` is a multiple. */
  readonly blocks: number;
}

export interface AttentionInputs {
  /** `[tokens, heads * headDim]` */
  readonly query: Value;
  /** `[tokens, keyValueHeads * headDim]` */
  readonly key: Value;
  readonly value: Value;
  /** Added to the scores, `[time, time]`: 0 where a token may look, hugely negative where not. */
  readonly mask: Value;
}

export interface AttentionShape {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Of the scores, usually 1 / √headDim. */
  readonly scale: number;
  /** Scores s become cap · tanh(s / cap); null leaves them. */
  readonly cap: number | null;
}

/**
 * Weighted values `[tokens, heads * headDim]`. The query heads that share a key head are a dimension of their own, so that keys and
 * values are never repeated.
 */
export function attend(
  g: Graph,
  { batch, time, tokens, blocks }: AttentionDims,
  { query, key, value, mask }: AttentionInputs,
  { heads, keyValueHeads, headDim, scale, cap }: AttentionShape,
): Value {
  assert(heads % keyValueHeads === 0, 'query heads are not a multiple of key heads');
  const group = heads / keyValueHeads;
  const byHead = (y: Value, rows: Dim, shared: number): Value =>
    transpose(g, [reshape(g, [y], { shape: [batch, rows, keyValueHeads, shared, headDim] })], {
      permutation: [0, 2, 3, 1, 4],
    });
  const inputs = [byHead(query, time, group), byHead(key, time, 1), byHead(value, time, 1), ...maskBlocks(g, mask, blocks)];
  const mixed = attention(g, inputs, { scale, cap });
  return reshape(g, [transpose(g, [mixed], { permutation: [0, 3, 1, 2, 4] })], { shape: [tokens, heads * headDim] });
}

/** What a row's tokens attend to besides themselves. */
export interface CachedKeys {
  /** `[keyValueHeads, 1, headDim, room]` */
  readonly key: Value;
  /** `[keyValueHeads, 1, room, headDim]` */
  readonly value: Value;
}

/**
 * The same for one row that goes on after what is cached, and its own keys and values as the cache has them. `mask` reaches over the whole
 * room of the cache and then these tokens.
 */
export function attendCached(
  g: Graph,
  time: Dim,
  { query, key, value, mask }: AttentionInputs,
  cached: CachedKeys,
  { heads, keyValueHeads, headDim, scale, cap }: AttentionShape,
): { readonly mixed: Value; readonly own: CachedKeys } {
  const byHead = (y: Value, shared: number, permutation: readonly number[]): Value =>
    transpose(g, [reshape(g, [y], { shape: [time, keyValueHeads, shared, headDim] })], { permutation });
  const own = { key: byHead(key, 1, [1, 2, 3, 0]), value: byHead(value, 1, [1, 2, 0, 3]) };
  const mixed = cachedAttention(g, byHead(query, heads / keyValueHeads, [1, 2, 0, 3]), cached, own, mask, { scale, cap });
  const rows = transpose(g, [mixed], { permutation: [2, 0, 1, 3] });
  return { mixed: reshape(g, [rows], { shape: [time, heads * headDim] }), own };
}

/** For each block of queries its rows of the mask, as far as the keys it may see; all layers share them. */
function maskBlocks(g: Graph, mask: Value, blocks: number): readonly Value[] {
  if (blocks === 1) return [mask];
  return g.memo(mask, `${blocks} blocks`, () =>
    equalParts(g, mask, 0, blocks).map((rows, i) => leadingParts(g, rows, 1, blocks)[i]!),
  );
}
