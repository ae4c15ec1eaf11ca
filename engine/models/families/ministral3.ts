/** Defines Ministral 3: transformers' Ministral3Config with its defaults, llama.cpp's LLM_ARCH_MISTRAL3. */
import type { Family } from './family.ts';
import type { RopeSpec } from '../spec.ts';
import { readRopeParameters, ropeParameters } from './family.ts';
import { dropGgufWindow } from './gguf.ts';
import { llamaLayout, llamaLikeToConfig, llamaLikeToMetadata, readLlamaLike, readLlamaLikeGguf } from './llama.ts';
import { mistral } from './mistral.ts';
import type { ConfigReader } from './reading.ts';
import type { Sizes } from './sizes.ts';
import { readTextPart, textPart } from './text-part.ts';
import { uniformFamily, type UniformSpec } from './uniform.ts';
import { withWindows } from './windows.ts';
import { ggufCount, ggufNumber } from './writing.ts';

/** Holds the rotary embedding of a config that does not describe one. */
const usualRope = {
  rope_type: 'yarn',
  rope_theta: 1_000_000,
  factor: 16,
  original_max_position_embeddings: 16384,
  beta_fast: 32,
  beta_slow: 1,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

export const ministral3 = uniformFamily({
  fromConfig(config) {
    const parameters = ropeParameters(config, usualRope)!;
    const beta = parameters.number('llama_4_scaling_beta');
    const trained = config.count('original_max_position_embeddings', 0);
    const spec = readLlamaLike(config, {
      family: 'ministral3',
      hiddenSize: 4096,
      intermediateSize: 14336,
      layers: 34,
      heads: 32,
      keyValueHeads: 8,
      headDim: 128,
      vocabularySize: 131072,
      contextLength: 262144,
      tiedEmbeddings: false,
      epsilon: 1e-5,
      theta: 10000,
      biases: [],
      rope: (sizes) => readOwnRope(config, parameters, sizes, trained),
    });
    const originalContextLength = trained || parameters.number('original_max_position_embeddings', spec.contextLength);
    const grown: UniformSpec = { ...spec, queryGrowth: beta === 0 ? null : { beta, originalContextLength } };
    return withWindows(config, grown, config.numberOrNull('sliding_window', null));
  },
  toConfig(spec) {
    const { rope_theta, rope_scaling, ...config } = llamaLikeToConfig(spec);
    return {
      architectures: ['Ministral3ForCausalLM'],
      model_type: 'ministral3',
      ...config,
      rope_parameters: {
        rope_type: 'default',
        original_max_position_embeddings: spec.queryGrowth?.originalContextLength ?? spec.contextLength,
        ...(rope_scaling as Record<string, unknown> | null),
        rope_theta,
        llama_4_scaling_beta: spec.queryGrowth?.beta ?? 0,
      },
      sliding_window: spec.blocks[0]?.window ?? null,
    };
  },
  gguf: {
    architecture: 'mistral3',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      const spec = readLlamaLikeGguf(metadata, facts, 'ministral3');
      const beta = metadata.number('attention.temperature_scale', 0);
      const originalContextLength = metadata.number('rope.scaling.original_context_length', spec.contextLength);
      return { ...spec, queryGrowth: beta === 0 ? null : { beta, originalContextLength } };
    },
    toMetadata: (spec) =>
      new Map([
        ...llamaLikeToMetadata(spec),
        ...(spec.queryGrowth === null
          ? []
          : ([
              ['attention.temperature_scale', ggufNumber(spec.queryGrowth.beta)],
              ['rope.scaling.original_context_length', ggufCount(spec.queryGrowth.originalContextLength)],
            ] as const)),
      ]),
    layout: llamaLayout,
  },
});

/** Reads Mistral Small 3 and Ministral 3 as they are published, with a vision tower. */
export const mistral3: Family = {
  ...ministral3,
  ...textPart,
  fromConfig(config) {
    config.ignore('projector_hidden_act', 'multimodal_projector_bias', 'vision_feature_layer', 'spatial_merge_size');
    return readTextPart(config, 'mistral3', { mistral, ministral3 });
  },
};

function readOwnRope(
  config: ConfigReader,
  parameters: ConfigReader,
  { headDim, contextLength }: Sizes,
  trained: number,
): RopeSpec {
  // It is repeated among them, and nothing reads it.
  parameters.ignore('max_position_embeddings');
  const theta = config.number('rope_theta', 10000);
  return readRopeParameters(parameters, { theta, headDim, contextLength, originalContextLength: trained || undefined });
}
