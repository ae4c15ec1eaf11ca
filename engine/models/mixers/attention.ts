/** Describes grouped-query attention as the files of a model do. */
import { limitFault } from '../limits.ts';
import { normTensors, type NormRole, type NormSpec, type PartKind, type PartLinear } from '../parts.ts';

export interface Attention {
  readonly kind: 'attention';
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /**
   * Gives the order of the rows in a fused matrix: all queries, then all keys, then all values, or the three of each head
   * together. It is null where there are three matrices.
   */
  readonly fused: 'by-kind' | 'by-head' | null;
  /** Gives the number of keys a token may attend to, itself included, or null where it may attend to all before it. */
  readonly window: number | null;
  /** Gives the index into the ropes of the model, or null without a rotary embedding. */
  readonly rope: number | null;
  /** Gives the factor of the scores, usually 1 / √headDim. */
  readonly scoreScale: number;
  /** Gives the cap of the scores: s becomes cap · tanh(s / cap). It is null without one. */
  readonly scoreCap: number | null;
  /** Gives the bound that keeps queries, keys and values between -clip and clip, or null without one. */
  readonly clip: number | null;
  /**
   * Holds the norm of queries and keys before they are rotated: over each head with one weight for all, over each head with a
   * weight of its own, or over all heads together. It is null without one.
   */
  readonly queryKeyNorm: { readonly over: 'head' | 'own-head' | 'all-heads'; readonly norm: NormSpec } | null;
}

export const attention: PartKind<Attention> = {
  linears({ heads, keyValueHeads, headDim, fused }, hiddenSize) {
    const [q, kv] = [heads * headDim, keyValueHeads * headDim];
    const reading = (role: PartLinear['role'], outFeatures: number) => ({
      role,
      inFeatures: hiddenSize,
      outFeatures,
      last: false,
    });
    return [
      ...(fused === null
        ? [reading('attn_q', q), reading('attn_k', kv), reading('attn_v', kv)]
        : [reading('attn_qkv', q + 2 * kv)]),
      { role: 'attn_output', inFeatures: q, outFeatures: hiddenSize, last: true },
    ];
  },

  tensors({ heads, keyValueHeads, headDim, queryKeyNorm }) {
    if (queryKeyNorm === null) return [];
    const { over, norm } = queryKeyNorm;
    const normOf = (role: NormRole, count: number) =>
      normTensors(role, norm, over === 'head' ? [headDim] : over === 'own-head' ? [count, headDim] : [count * headDim]);
    return [normOf('attn_q_norm', heads), normOf('attn_k_norm', keyValueHeads)];
  },

  state({ keyValueHeads, headDim }) {
    return ['key', 'value'].map((name) => ({ name, shape: [keyValueHeads, 'tokens', headDim] }));
  },

  // The mask keeps packed rows apart.
  needs: [],

  /** Keeps the width of heads and makes them fewer. */
  miniature(mixer) {
    const keyValueHeads = Math.min(2, mixer.keyValueHeads);
    return { ...mixer, keyValueHeads, heads: keyValueHeads * Math.min(2, mixer.heads / mixer.keyValueHeads) };
  },

  fault({ heads, keyValueHeads, headDim, window, scoreScale, scoreCap, clip, queryKeyNorm }) {
    const beyond = limitFault('heads', heads) ?? limitFault('headDim', headDim);
    if (beyond !== null) return beyond;
    if (keyValueHeads < 1 || heads % keyValueHeads !== 0)
      return `${heads} attention heads cannot share ${keyValueHeads} key and value heads`;
    if (headDim % 2 !== 0) return `the head dimension ${headDim} is odd`;
    if (queryKeyNorm !== null && !(queryKeyNorm.norm.epsilon > 0 && queryKeyNorm.norm.epsilon < 1))
      return `the norm epsilon is ${queryKeyNorm.norm.epsilon}`;
    if (window !== null && !(Number.isSafeInteger(window) && window > 0)) return `the attention window is ${window}`;
    if (!(scoreScale > 0)) return `the scale of the scores is ${scoreScale}`;
    for (const bound of [scoreCap, clip])
      if (bound !== null && !(bound > 0)) return `a bound of scores or projections is ${bound}`;
    return null;
  },
};
