/** Grouped-query attention as the files of a model describe it. */
import { limitFault } from '../limits.ts';
import { normTensors, type NormRole, type NormSpec, type PartKind, type PartLinear } from '../parts.ts';

export interface Attention {
  readonly kind: 'attention';
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** How one matrix holds queries, keys and values: all of each kind, or for each head its three; null where there are three matrices. */
  readonly fused: 'by-kind' | 'by-head' | null;
  /** Keys a token may look at, itself included; null for all before it. */
  readonly window: number | null;
  /** Index into the ropes of the model; null without a position embedding. */
  readonly rope: number | null;
  /** Factor of the scores, usually 1 / √headDim. */
  readonly scoreScale: number;
  /** Scores s become cap · tanh(s / cap). */
  readonly scoreCap: number | null;
  /** Queries, keys and values are held between -clip and clip. */
  readonly clip: number | null;
  /** Norm of queries and keys before they are rotated: of each head with one weight, of each head with its own, or over all heads. */
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

  /** Heads are as wide as they are, but fewer. */
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
