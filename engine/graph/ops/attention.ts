/** Defines softmax attention of grouped heads, block by block of queries, so that scores of all queries never exist at once. */
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { tanh } from './activation.ts';
import { add, mul, sub } from './elementwise.ts';
import type { GemmAttributes } from './matmul.ts';
import { reduceSum } from './reduce.ts';
import { softmax } from './softmax.ts';

export interface AttentionAttributes {
  readonly scale: number;
  /** Gives the cap of the scores: s becomes cap · tanh(s / cap); null leaves them. */
  readonly cap: number | null;
}

// For each head: S = scale q kᵀ, maybe capped, + mask; P = softmax(S); y = P v
// With D = Σ dy ∘ y along a row (Dao et al. 2022):
//   dv = Pᵀ dy        dS = P ∘ (dy vᵀ - D)        dq = scale dS k        dk = scale dSᵀ q
// q [batch, keyHeads, group, time, d]; k, v [batch, keyHeads, 1, keys, d]: the group of query heads shares them. y as q.
// There is one mask per block of time / blocks queries. With several blocks keys are as many as queries, and block i is shown the first
// i + 1 parts of them only, [time / blocks, keys (i + 1) / blocks]: what comes later is hidden from all of its queries.
// Only q, k, v and y are kept; the backward computes P again, block by block, while it is small enough to stay in the cache.
export const attention: Op<AttentionAttributes> = defineOp<AttentionAttributes>({
  name: 'Attention',
  forward(g, [q, k, v, ...masks], attributes) {
    const keys = leadingParts(g, k!, TIME, masks.length);
    const values = leadingParts(g, v!, TIME, masks.length);
    const blocks = equalParts(g, q!, TIME, masks.length).map((rows, i) => {
      const { weights } = attentionWeights(g, rows, keys[i]!, masks[i]!, attributes);
      return product(g, weights, values[i]!);
    });
    return [joined(g, blocks, TIME)];
  },
  backward(g, { inputs: [q, k, v, ...masks], output, attributes, dy }) {
    const { scale } = attributes;
    const inParts = (x: Value): readonly Value[] => equalParts(g, x, TIME, masks.length);
    const build = (): Value[] => {
      const keys = leadingParts(g, k!, TIME, masks.length);
      const values = leadingParts(g, v!, TIME, masks.length);
      const [ys, dys] = [inParts(output), inParts(dy)];
      const blocks = inParts(q!).map((rows, i) => {
        const seed = dys[i]!;
        const { weights, bent } = attentionWeights(g, rows, keys[i]!, masks[i]!, attributes);
        const sum = reduceSum(g, [mul(g, [seed, ys[i]!])], { axes: [-1] });
        const dWeights = product(g, seed, values[i]!, { transB: true });
        const dMasked = mul(g, [weights, sub(g, [dWeights, sum])]);
        const dScores = bent === null ? dMasked : mul(g, [dMasked, sub(g, [g.scalar(1), mul(g, [bent, bent])])]);
        return {
          q: product(g, dScores, keys[i]!, { alpha: scale }),
          k: overGroup(g, product(g, dScores, rows, { transA: true, alpha: scale })),
          v: overGroup(g, product(g, weights, seed, { transA: true })),
        };
      });
      const gradient = (name: 'q' | 'k' | 'v'): Value[] => blocks.map((block) => block[name]);
      return [joined(g, gradient('q'), TIME), sumOfLeading(g, gradient('k')), sumOfLeading(g, gradient('v'))];
    };
    let built: Value[] | null = null;
    const part = (i: number) => () => (built ??= build())[i]!;
    return [part(0), part(1), part(2), ...masks.map(() => null)];
  },
});

/**
 * Builds attention without a gradient over keys and values in two pieces, so that the cache is read in place and never copied:
 * the scores of both, which are small, are concatenated. Keys are transposed, [keyHeads, 1, d, keys], so that a product of one
 * query with them reads memory in order. The runtime does that only when the product is not scaled, so the queries are scaled
 * instead.
 */
export function cachedAttention(
  g: Graph,
  q: Value,
  cached: { readonly key: Value; readonly value: Value },
  own: { readonly key: Value; readonly value: Value },
  mask: Value,
  { scale, cap }: AttentionAttributes,
): Value {
  const scaled = mul(g, [q, g.scalar(scale / (cap ?? 1))]);
  const parts = [product(g, scaled, cached.key), product(g, scaled, own.key)];
  const plain = joined(g, parts, -1);
  const scores = cap === null ? plain : mul(g, [tanh(g, [plain]), g.scalar(cap)]);
  const weights = softmax(g, [add(g, [scores, mask])]);
  const lengths = g.shapeVector(parts.map(({ shape }) => shape.at(-1)!));
  const [ofCached, ofOwn] = g.nodeWithOutputs('Split', [weights, lengths], { axis: { int: -1 } });
  return add(g, [product(g, ofCached!, cached.value), product(g, ofOwn!, own.value)]);
}

const TIME = 3;

/** Builds the weights P `[…, queries, keys]`, and with a cap also tanh(s / cap). */
function attentionWeights(
  g: Graph,
  queries: Value,
  keys: Value,
  mask: Value,
  { scale, cap }: AttentionAttributes,
): { readonly weights: Value; readonly bent: Value | null } {
  const plain = product(g, queries, keys, { transB: true, alpha: scale / (cap ?? 1) });
  const bent = cap === null ? null : tanh(g, [plain]);
  const scores = bent === null ? plain : mul(g, [bent, g.scalar(cap!)]);
  return { weights: softmax(g, [add(g, [scores, mask])]), bent };
}

/**
 * Builds the product of stacks of matrices, of which one may serve several of the other. WebGPU has no such kernel: it would
 * need Transpose and MatMul.
 */
function product(g: Graph, a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: GemmAttributes = {}): Value {
  const attributes = { transA: { int: transA ? 1 : 0 }, transB: { int: transB ? 1 : 0 }, alpha: { float: alpha } };
  return g.node('FusedMatMul', [a, b], attributes);
}

function overGroup(g: Graph, x: Value): Value {
  return x.shape[2] === 1 ? x : reduceSum(g, [x], { axes: [2] });
}

/** Splits a value into `count` equal parts along an axis. */
export function equalParts(g: Graph, x: Value, axis: number, count: number): readonly Value[] {
  return count === 1 ? [x] : g.nodeWithOutputs('Split', [x], { axis: { int: axis }, num_outputs: { int: count } });
}

/** Returns the first of `count` equal parts along an axis, then the first two together, and so on up to all. */
export function leadingParts(g: Graph, x: Value, axis: number, count: number): readonly Value[] {
  const parts = equalParts(g, x, axis, count);
  return parts.map((_, i) => (i + 1 === count ? x : joined(g, parts.slice(0, i + 1), axis)));
}

/** Builds the sum of values of which the i-th covers the first i + 1 parts along time. */
function sumOfLeading(g: Graph, values: readonly Value[]): Value {
  const parts = values.map((value, i) => equalParts(g, value, TIME, i + 1));
  const sums = parts.map((_, j) =>
    parts
      .slice(j)
      .map((own) => own[j]!)
      .reduce((sum, part) => add(g, [sum, part])),
  );
  return joined(g, sums, TIME);
}

function joined(g: Graph, parts: readonly Value[], axis: number): Value {
  return parts.length === 1 ? parts[0]! : g.node('Concat', parts, { axis: { int: axis } });
}
