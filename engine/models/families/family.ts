/** What a family says of itself, and what most families say alike. */
import type { GgufValue } from '../../formats/gguf.ts';
import type { Layout } from '../layout.ts';
import type {
  Activation,
  BlockSpec,
  DecoderSpec,
  LinearRole,
  ModelTensor,
  ModuleNames,
  RopeScaling,
  RopeSpec,
} from '../spec.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';
import { ggufCount } from './writing.ts';

export interface Family {
  /** From config.json; every field it reads changes the computation, with transformers' default where it is left out. */
  fromConfig(config: ConfigReader): DecoderSpec;
  /** config.json of a model that came from a GGUF: the fields that `fromConfig` reads. */
  toConfig(spec: DecoderSpec): Record<string, unknown>;
  /** How the hub's files keep a tensor; null: as the model computes with it. */
  hubLayout?(tensor: ModelTensor): Layout | null;
  /** Other names under which a hub folder may have a tensor. */
  hubAliases?(tensor: ModelTensor): readonly string[];
  /** Stored tensors that belong to no weight of the text model: buffers of older files, other modalities. */
  readonly unusedTensors?: RegExp;
  /** Null where llama.cpp does not know the family. */
  readonly gguf: GgufFamily | null;
}

export interface GgufFamily {
  /** `general.architecture` */
  readonly architecture: string;
  fromMetadata(metadata: MetadataReader, facts: GgufFacts): DecoderSpec;
  /** What `fromMetadata` reads, as llama.cpp's own converter writes it. Keys without the architecture's prefix. */
  toMetadata(spec: DecoderSpec): ReadonlyMap<string, GgufValue>;
  layout?(tensor: ModelTensor, spec: DecoderSpec): Layout | null;
}

/** What the weights say that metadata does not: shapes of present tensors, and divisors of the rotary frequencies. */
export interface GgufFacts {
  shape(name: string): readonly number[] | null;
  readonly ropeFactors: readonly number[] | null;
}

/** Module names of Llama and the many families that follow it. */
export const llamaModules: ModuleNames = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
  blocks: 'model.layers',
  block: {
    attn_norm: 'input_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    ffn_norm: 'post_attention_layernorm',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
  },
};

/** The sizes that GGUF calls alike in every architecture. */
export function readGgufSizes(metadata: MetadataReader, facts: GgufFacts) {
  const hiddenSize = metadata.number('embedding_length');
  const heads = metadata.number('attention.head_count');
  const headDim = metadata.number('attention.key_length', hiddenSize / heads);
  metadata.require('attention.value_length', headDim);
  metadata.ignore('tensor_data_layout');
  return {
    hiddenSize,
    intermediateSize: metadata.number('feed_forward_length'),
    layers: metadata.layers('block_count'),
    heads,
    keyValueHeads: metadata.number('attention.head_count_kv', heads),
    headDim,
    vocabularySize: metadata.number('vocab_size', facts.shape('token_embd.weight')?.[0]),
    contextLength: metadata.number('context_length'),
    tiedEmbeddings: facts.shape('output.weight') === null,
  };
}

export function writeGgufSizes(spec: DecoderSpec): [string, GgufValue][] {
  return [
    ['block_count', ggufCount(spec.layers)],
    ['context_length', ggufCount(spec.contextLength)],
    ['embedding_length', ggufCount(spec.hiddenSize)],
    ['feed_forward_length', ggufCount(spec.intermediateSize)],
    ['attention.head_count', ggufCount(spec.heads)],
    ['attention.head_count_kv', ggufCount(spec.keyValueHeads)],
    ['attention.key_length', ggufCount(spec.headDim)],
    ['attention.value_length', ggufCount(spec.headDim)],
    ['vocab_size', ggufCount(spec.vocabularySize)],
  ];
}

/** The linear layers that have a bias in the first block of a GGUF. */
export function ggufBiases(facts: GgufFacts): LinearRole[] {
  const roles = ['attn_q', 'attn_k', 'attn_v', 'attn_qkv', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'] as const;
  return roles.filter((role) => facts.shape(`blk.0.${role}.bias`) !== null);
}

/** Windows by `layer_types`, `sliding_attention` or `full_attention` for each layer. */
export function readWindows(
  config: ConfigReader,
  layers: number,
  window: number | null,
  usual: (layer: number) => boolean,
): (number | null)[] {
  const types = config.layerTexts('layer_types', layers);
  return Array.from({ length: layers }, (_, layer) => {
    const type = types?.[layer] ?? (usual(layer) ? 'sliding_attention' : 'full_attention');
    if (type !== 'sliding_attention' && type !== 'full_attention') throw config.unsupported('layer_types', type);
    return type === 'sliding_attention' ? window : null;
  });
}

/** Every block alike. */
export function sameBlocks(layers: number, block: BlockSpec): BlockSpec[] {
  return Array.from({ length: layers }, () => block);
}

/** Names of transformers' ACT2FN. */
const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
};

export function readActivation(config: ConfigReader, key: string, fallback: string): Activation {
  const name = config.text(key, fallback);
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (activation === undefined) throw config.unsupported(key, name);
  return activation;
}

/** A name of transformers for an activation. */
export const activationNames: Readonly<Record<Activation, string>> = {
  silu: 'silu',
  gelu: 'gelu',
  gelu_tanh: 'gelu_pytorch_tanh',
  relu: 'relu',
};

export interface RopeDefaults {
  readonly theta: number;
  readonly headDim: number;
  /** Share of a head that is rotated. */
  readonly partial?: number;
  readonly interleaved?: boolean;
  /** `max_position_embeddings`: what scalings count from where they do not say. */
  readonly contextLength: number;
}

/** Old form: `rope_theta`, `partial_rotary_factor` and `rope_scaling` (kind in `type` or `rope_type`); new form: all in `rope_parameters`. */
export function readRope(config: ConfigReader, defaults: RopeDefaults): RopeSpec {
  const theta = config.number('rope_theta', defaults.theta);
  const partial = config.number('partial_rotary_factor', defaults.partial ?? 1);
  const scaling = config.object('rope_scaling');
  const parameters = config.object('rope_parameters') ?? scaling;
  return readRopeParameters(parameters, { ...defaults, theta, partial });
}

/** One set of `rope_parameters`. */
export function readRopeParameters(parameters: ConfigReader | null, defaults: RopeDefaults): RopeSpec {
  const { headDim, interleaved = false } = defaults;
  const rope = (theta: number, partial: number, scaling: RopeScaling): RopeSpec => ({
    theta,
    dimension: Math.trunc(headDim * partial),
    interleaved,
    scaling,
  });
  if (parameters === null) return rope(defaults.theta, defaults.partial ?? 1, { kind: 'none' });
  const theta = parameters.number('rope_theta', defaults.theta);
  const partial = parameters.number('partial_rotary_factor', defaults.partial ?? 1);
  const scaling = readScaling(parameters, defaults.contextLength);
  parameters.refuseUnread();
  return rope(theta, partial, scaling);
}

/** Parameters of modeling_rope_utils.py in transformers, with its defaults. */
function readScaling(parameters: ConfigReader, contextLength: number): RopeScaling {
  const kind = parameters.text('rope_type', parameters.text('type', 'default'));
  const original = parameters.number('original_max_position_embeddings', contextLength);
  switch (kind) {
    case 'default':
      return { kind: 'none' };
    case 'linear':
      return { kind: 'linear', factor: parameters.number('factor') };
    case 'dynamic':
      // Frequencies only change beyond the trained length, which training does not go to.
      parameters.number('factor');
      return { kind: 'none' };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: parameters.number('factor'),
        lowFrequencyFactor: parameters.number('low_freq_factor'),
        highFrequencyFactor: parameters.number('high_freq_factor'),
        originalContextLength: parameters.number('original_max_position_embeddings'),
      };
    case 'yarn': {
      const factor = parameters.number('factor');
      const growth = (scale: number, mscale: number): number => (scale <= 1 ? 1 : 0.1 * mscale * Math.log(scale) + 1);
      const mscale = parameters.number('mscale', 0);
      const mscaleAll = parameters.number('mscale_all_dim', 0);
      const usual = mscale !== 0 && mscaleAll !== 0 ? growth(factor, mscale) / growth(factor, mscaleAll) : growth(factor, 1);
      return {
        kind: 'yarn',
        factor,
        betaFast: parameters.number('beta_fast', 32),
        betaSlow: parameters.number('beta_slow', 1),
        originalContextLength: original,
        attentionFactor: parameters.number('attention_factor', usual),
        truncate: parameters.flag('truncate', true),
      };
    }
    default:
      throw parameters.unsupported('rope_type', kind);
  }
}
