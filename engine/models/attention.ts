/** Scaled dot-product attention over grouped heads. */
import { assert } from '../problem.ts';
import type { Dim, Graph, Value } from '../graph/graph.ts';
import { tanh } from '../graph/ops/activation.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reshape, transpose } from '../graph/ops/shape.ts';
import { softmax } from '../graph/ops/softmax.ts';

export interface AttentionDims {
  readonly batch: Dim;
  readonly time: Dim;
  readonly tokens: Dim;
  /** Rows of scores of one key head: time times the query heads that share it. */
  readonly queries: Dim;
  /** Keys a token may look at: `time`, and with a cache what is cached too. */
  readonly keys: Dim;
}

export interface AttentionInputs {
  /** `[tokens, heads * headDim]` */
  readonly query: Value;
  /** `[batch * keys, keyValueHeads * headDim]` */
  readonly key: Value;
  readonly value: Value;
  /** Added to the scores, `[time, keys]`: 0 where a token may look, hugely negative where not. */
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
 * Weighted values `[tokens, heads * headDim]`. The `group` query heads that share a key head are laid end to end along time, so that
 * keys and values are never repeated: `[batch, keyHeads, group * time, headDim]` times `[batch, keyHeads, keys, headDim]`.
 */
export function attend(
  g: Graph,
  { batch, time, tokens, queries, keys }: AttentionDims,
  { query, key, value, mask }: AttentionInputs,
  { heads, keyValueHeads, headDim, scale, cap }: AttentionShape,
): Value {
  assert(heads % keyValueHeads === 0, 'query heads are not a multiple of key heads');
  const group = heads / keyValueHeads;
  const q = transpose(g, [reshape(g, [query], { shape: [batch, time, keyValueHeads, group, headDim] })], {
    permutation: [0, 2, 3, 1, 4],
  });
  const byHead = (y: Value) =>
    transpose(g, [reshape(g, [y], { shape: [batch, keys, keyValueHeads, headDim] })], { permutation: [0, 2, 1, 3] });
  const k = byHead(key);
  const v = byHead(value);

  const stacked = [batch, keyValueHeads, queries];
  const product = matmul(g, [reshape(g, [q], { shape: [...stacked, headDim] }), k], {
    transB: true,
    alpha: scale / (cap ?? 1),
  });
  const scores = cap === null ? product : mul(g, [tanh(g, [product]), g.scalar(cap)]);
  const masked = add(g, [reshape(g, [scores], { shape: [batch, keyValueHeads, group, time, keys] }), mask]);
  const weights = reshape(g, [softmax(g, [masked])], { shape: [...stacked, keys] });
  const mixed = matmul(g, [weights, v], {});
  const perHead = reshape(g, [mixed], { shape: [batch, keyValueHeads, group, time, headDim] });
  return reshape(g, [transpose(g, [perHead], { permutation: [0, 3, 1, 2, 4] })], { shape: [tokens, heads * headDim] });
}
