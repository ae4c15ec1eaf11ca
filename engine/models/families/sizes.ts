/** Reads and writes the sizes that most families have under the same names. */
import type { GgufValue } from '../../formats/gguf.ts';
import type { GgufFacts } from './family.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';
import type { UniformSpec } from './uniform.ts';
import { ggufCount, ropeScalingToConfig } from './writing.ts';

export interface SizeDefaults {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Gives the usual number of key heads; null stands for as many as query heads. */
  readonly keyValueHeads: number | null;
  /** Gives the usual width of a head; the hidden size divided by the number of heads when left out. */
  readonly headDim?: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly tiedEmbeddings: boolean;
}

export type Sizes = Pick<
  UniformSpec,
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

export function sizesToConfig(spec: UniformSpec): Record<string, unknown> {
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

/** Returns the fields of the first rotary embedding. */
export function ropeToConfig({ ropes: [rope], headDim }: UniformSpec): Record<string, unknown> {
  if (rope === undefined) return {};
  return {
    rope_theta: rope.theta,
    ...(rope.dimension === headDim ? {} : { partial_rotary_factor: rope.dimension / headDim }),
    rope_scaling: ropeScalingToConfig(rope),
  };
}

/** Reads the sizes that GGUF stores under the same keys in every architecture. */
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

export function writeGgufSizes(spec: UniformSpec): [string, GgufValue][] {
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
