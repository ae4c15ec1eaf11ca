/** The sizes that most families read under the same names, from and to config.json. */
import type { DecoderSpec } from '../spec.ts';
import type { ConfigReader } from './reading.ts';
import { ropeScalingToConfig } from './writing.ts';

export interface SizeDefaults {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Null: as many as heads. */
  readonly keyValueHeads: number | null;
  /** Left out: the hidden size shared among the heads. */
  readonly headDim?: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly tiedEmbeddings: boolean;
}

export type Sizes = Pick<
  DecoderSpec,
  | 'hiddenSize'
  | 'intermediateSize'
  | 'layers'
  | 'heads'
  | 'keyValueHeads'
  | 'headDim'
  | 'vocabularySize'
  | 'contextLength'
  | 'tiedEmbeddings'
>;

export function readSizes(config: ConfigReader, defaults: SizeDefaults): Sizes {
  const hiddenSize = config.count('hidden_size', defaults.hiddenSize);
  const heads = config.count('num_attention_heads', defaults.heads);
  return {
    hiddenSize,
    intermediateSize: config.count('intermediate_size', defaults.intermediateSize),
    layers: config.layers('num_hidden_layers', defaults.layers),
    heads,
    keyValueHeads: config.numberOrNull('num_key_value_heads', defaults.keyValueHeads) ?? heads,
    headDim: config.count('head_dim', defaults.headDim ?? Math.floor(hiddenSize / Math.max(heads, 1))),
    vocabularySize: config.count('vocab_size', defaults.vocabularySize),
    contextLength: config.count('max_position_embeddings', defaults.contextLength),
    tiedEmbeddings: config.flag('tie_word_embeddings', defaults.tiedEmbeddings),
  };
}

export function sizesToConfig(spec: DecoderSpec): Record<string, unknown> {
  return {
    hidden_size: spec.hiddenSize,
    intermediate_size: spec.intermediateSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.keyValueHeads,
    head_dim: spec.headDim,
    vocab_size: spec.vocabularySize,
    max_position_embeddings: spec.contextLength,
    tie_word_embeddings: spec.tiedEmbeddings,
  };
}

/** The fields of the first rotary embedding. */
export function ropeToConfig({ ropes: [rope], headDim }: DecoderSpec): Record<string, unknown> {
  if (rope === undefined) return {};
  return {
    rope_theta: rope.theta,
    ...(rope.dimension === headDim ? {} : { partial_rotary_factor: rope.dimension / headDim }),
    rope_scaling: ropeScalingToConfig(rope),
  };
}
