/** What a decoder-only transformer is, as frozen plain data. `families/` makes it from a config; `decoder.ts` builds graphs from it. */
import { assert } from '../problem.ts';

/** The parts of a model have GGUF's names here; a family says what transformers calls them. */
export type OuterRole = 'token_embd' | 'position_embd' | 'output_norm' | 'output';
export type NormRole = 'attn_norm' | 'attn_q_norm' | 'attn_k_norm' | 'post_attention_norm' | 'ffn_norm' | 'post_ffw_norm';
export type LinearRole = 'attn_q' | 'attn_k' | 'attn_v' | 'attn_qkv' | 'attn_output' | 'ffn_gate' | 'ffn_up' | 'ffn_down';
export type BlockRole = NormRole | LinearRole;

/** Transformers' module paths without `.weight`. A part that is not named is not there. */
export interface ModuleNames {
  readonly token_embd: string;
  readonly position_embd?: string;
  readonly output_norm: string;
  /** Of the head, also where it is tied to the embedding. */
  readonly output: string;
  /** `model.layers`; a block is this, a dot and its number. */
  readonly blocks: string;
  /** Within a block. */
  readonly block: Readonly<Partial<Record<BlockRole, string>>>;
}

export interface NormSpec {
  readonly kind: 'rms' | 'layer';
  readonly epsilon: number;
  /** `plusOne`: the factor is one more than what is stored (Gemma). */
  readonly weight: 'plain' | 'plusOne' | 'none';
  readonly bias: boolean;
}

/** Rotary position embedding. */
export interface RopeSpec {
  readonly theta: number;
  /** Leading elements of a head that are rotated; headDim when all are. */
  readonly dimension: number;
  /** Pairs are neighbours; otherwise the two halves. */
  readonly interleaved: boolean;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  /** The base grows with rows that are longer than the model was trained for. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly contextLength: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      /** Peng et al. 2023. */
      readonly kind: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContextLength: number;
      /** Factor of cos and sin. */
      readonly attentionFactor: number;
      /** Whether the bounds of the ramp are rounded outwards to whole pairs. */
      readonly truncate: boolean;
    }
  | {
      /** Ding et al. 2024: divisors of the inverse frequencies, the long ones for rows beyond the original context. */
      readonly kind: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalContextLength: number;
      readonly attentionFactor: number;
    }
  /** Divisors of the inverse frequencies, one per pair, as GGUF's `rope_freqs.weight` carries them. */
  | { readonly kind: 'factors'; readonly factors: readonly number[] };

/** How one block attends. */
export interface BlockSpec {
  /** Keys a token may look at, itself included; null for all before it. */
  readonly window: number | null;
  /** Index into `ropes`; null without a position embedding. */
  readonly rope: number | null;
  /** Factor of the scores, usually 1 / √headDim. */
  readonly scoreScale: number;
}

export interface DecoderSpec {
  /** `model_type` of config.json. */
  readonly family: string;
  readonly modules: ModuleNames;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly norm: NormSpec;
  /** The linear layers that have a bias. */
  readonly biases: readonly LinearRole[];
  /** The output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
  /** Factor of the embedded tokens. */
  readonly embeddingScale: number;
  /** Rows of a learned position embedding; null without one. */
  readonly learnedPositions: number | null;
  readonly blocks: readonly BlockSpec[];
  readonly ropes: readonly RopeSpec[];
  /** Beyond this context queries grow: by 1 + beta ln(1 + ⌊position / originalContextLength⌋) (Llama 4, Ministral 3). */
  readonly queryGrowth: { readonly beta: number; readonly originalContextLength: number } | null;
  /** Scores s become cap · tanh(s / cap). */
  readonly scoreCap: number | null;
  /** Queries, keys and values are held between -clip and clip. */
  readonly clip: number | null;
  /** Norm of queries and keys before they are rotated: of each head with one weight, of each head with its own, or over all heads. */
  readonly queryKeyNorm: { readonly over: 'head' | 'own-head' | 'all-heads'; readonly norm: NormSpec } | null;
  /** How `attn_qkv` lays its rows out: all queries, keys, values; or for each head its query, key and value. */
  readonly fusedLayout: 'by-kind' | 'by-head';
  /** Attention and feed-forward both read the block's input, and both are added to it. */
  readonly parallel: boolean;
  /** Factor of what a block adds to its input. */
  readonly residualScale: number;
  readonly feedForward: {
    readonly activation: Activation;
    /** `gated`: down(act(gate) ∘ up); `fused`: the same with gate above up in one matrix, `ffn_up`; `plain`: down(act(up)). */
    readonly kind: 'gated' | 'fused' | 'plain';
  };
  readonly head: {
    readonly bias: boolean;
    /** Factor of the logits. */
    readonly scale: number;
    /** Logits z become cap · tanh(z / cap), after the scale. */
    readonly cap: number | null;
  };
}

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu';

/** What most families share; a family states where it differs. */
export const usualSpec = {
  embeddingScale: 1,
  learnedPositions: null,
  queryGrowth: null,
  scoreCap: null,
  clip: null,
  queryKeyNorm: null,
  fusedLayout: 'by-kind',
  parallel: false,
  residualScale: 1,
  head: { bias: false, scale: 1, cap: null },
} as const satisfies Partial<DecoderSpec>;

/** A tensor of a model under transformers' name. */
export interface ModelTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: OuterRole | BlockRole;
  readonly kind: 'weight' | 'bias';
  /** Null outside of the blocks. */
  readonly layer: number | null;
}

/** Every tensor a model of this spec has, in the order of the computation. */
export function modelTensors(spec: DecoderSpec): ModelTensor[] {
  const { modules, hiddenSize, vocabularySize, learnedPositions, norm, head } = spec;
  const tensors: ModelTensor[] = [];
  const put = (
    role: ModelTensor['role'],
    path: string,
    layer: number | null,
    weight: readonly number[] | null,
    bias: readonly number[] | null,
  ) => {
    if (weight) tensors.push({ name: `${path}.weight`, shape: weight, role, kind: 'weight', layer });
    if (bias) tensors.push({ name: `${path}.bias`, shape: bias, role, kind: 'bias', layer });
  };
  const putNorm = (
    role: NormRole | 'output_norm',
    path: string,
    layer: number | null,
    of: NormSpec,
    shape: readonly number[],
  ) => put(role, path, layer, of.weight === 'none' ? null : shape, of.bias ? shape : null);

  put('token_embd', modules.token_embd, null, [vocabularySize, hiddenSize], null);
  if (learnedPositions !== null) {
    assert(modules.position_embd !== undefined, 'learned positions have no name');
    put('position_embd', modules.position_embd, null, [learnedPositions, hiddenSize], null);
  }
  for (let layer = 0; layer < spec.layers; layer++) {
    for (const role of normRoles) {
      const path = modulePath(spec, layer, role);
      if (path === null) continue;
      if (role !== 'attn_q_norm' && role !== 'attn_k_norm') putNorm(role, path, layer, norm, [hiddenSize]);
      else if (spec.queryKeyNorm !== null) {
        const { over, norm: of } = spec.queryKeyNorm;
        const heads = role === 'attn_q_norm' ? spec.heads : spec.keyValueHeads;
        const shape = over === 'head' ? [spec.headDim] : over === 'own-head' ? [heads, spec.headDim] : [heads * spec.headDim];
        putNorm(role, path, layer, of, shape);
      }
    }
    for (const { role, path, outFeatures, inFeatures, bias } of blockLinears(spec, layer))
      put(role, path, layer, [outFeatures, inFeatures], bias ? [outFeatures] : null);
  }
  putNorm('output_norm', modules.output_norm, null, norm, [hiddenSize]);
  put(
    'output',
    modules.output,
    null,
    spec.tiedEmbeddings ? null : [vocabularySize, hiddenSize],
    head.bias ? [vocabularySize] : null,
  );
  return tensors;
}

const normRoles: readonly NormRole[] = [
  'attn_norm',
  'attn_q_norm',
  'attn_k_norm',
  'post_attention_norm',
  'ffn_norm',
  'post_ffw_norm',
];

/** The tensor of a model behind a name: that of a tied head is the embedding. */
export function storedName({ modules, tiedEmbeddings }: DecoderSpec, name: string): string {
  return tiedEmbeddings && name === `${modules.output}.weight` ? `${modules.token_embd}.weight` : name;
}

/** `model.layers.3.self_attn.q_proj`; null when a block has no such part. */
export function modulePath({ modules }: DecoderSpec, layer: number, role: BlockRole): string | null {
  const name = modules.block[role];
  return name === undefined ? null : `${modules.blocks}.${layer}.${name}`;
}

/** A linear layer of one block. */
export interface LinearLayer {
  readonly role: LinearRole;
  /** `q_proj` */
  readonly name: string;
  /** `model.layers.3.self_attn.q_proj` */
  readonly path: string;
  readonly layer: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
}

/** The linear layers of every block, in the order they are computed. */
export function linearLayers(spec: DecoderSpec): LinearLayer[] {
  return Array.from({ length: spec.layers }, (_, layer) => blockLinears(spec, layer)).flat();
}

export function blockLinears(spec: DecoderSpec, layer: number): LinearLayer[] {
  const { hiddenSize: h, intermediateSize: f, feedForward } = spec;
  const q = spec.heads * spec.headDim;
  const kv = spec.keyValueHeads * spec.headDim;
  const sizes: readonly (readonly [LinearRole, number, number])[] = [
    ['attn_q', h, q],
    ['attn_k', h, kv],
    ['attn_v', h, kv],
    ['attn_qkv', h, q + 2 * kv],
    ['attn_output', q, h],
    ['ffn_gate', h, f],
    ['ffn_up', h, feedForward.kind === 'fused' ? 2 * f : f],
    ['ffn_down', f, h],
  ];
  return sizes.flatMap(([role, inFeatures, outFeatures]) => {
    const path = modulePath(spec, layer, role);
    if (path === null) return [];
    const name = path.slice(path.lastIndexOf('.') + 1);
    return [{ role, name, path, layer, inFeatures, outFeatures, bias: spec.biases.includes(role) }];
  });
}
