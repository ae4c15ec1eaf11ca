/** Defines Granite, dense: transformers' GraniteConfig with its defaults, llama.cpp's LLM_ARCH_GRANITE. */
import {
  biasesToConfig,
  llamaLayout,
  llamaLikeToConfig,
  llamaLikeToMetadata,
  readBiases,
  readLlamaLike,
  readLlamaLikeGguf,
} from './llama.ts';
import { sameBlocks, uniformFamily, type UniformSpec } from './uniform.ts';
import { ggufNumber } from './writing.ts';

export const granite = uniformFamily({
  fromConfig(config) {
    const spec = readLlamaLike(config, {
      family: 'granite',
      hiddenSize: 4096,
      intermediateSize: 11008,
      layers: 32,
      heads: 32,
      keyValueHeads: null,
      vocabularySize: 32000,
      contextLength: 2048,
      tiedEmbeddings: false,
      epsilon: 1e-6,
      theta: 10000,
      biases: readBiases(config),
    });
    return withMultipliers(spec, {
      embedding: config.number('embedding_multiplier', 1),
      logits: config.number('logits_scaling', 1),
      residual: config.number('residual_multiplier', 1),
      attention: config.number('attention_multiplier', 1),
    });
  },
  toConfig: (spec) => ({
    architectures: ['GraniteForCausalLM'],
    model_type: 'granite',
    ...llamaLikeToConfig(spec),
    ...biasesToConfig(spec),
    embedding_multiplier: spec.embeddingScale,
    logits_scaling: 1 / spec.head.scale,
    residual_multiplier: spec.residualScale,
    attention_multiplier: spec.blocks[0]!.scoreScale,
  }),
  gguf: {
    architecture: 'granite',
    fromMetadata(metadata, facts) {
      const spec = readLlamaLikeGguf(metadata, facts, 'granite');
      // llama.cpp takes 0 for the usual factor.
      return withMultipliers(spec, {
        embedding: metadata.number('embedding_scale', 1) || 1,
        logits: metadata.number('logit_scale'),
        residual: metadata.number('residual_scale', 1) || 1,
        attention: metadata.number('attention.scale', 0) || 1 / Math.sqrt(spec.headDim),
      });
    },
    toMetadata: (spec) =>
      new Map([
        ...llamaLikeToMetadata(spec),
        ['embedding_scale', ggufNumber(spec.embeddingScale)],
        ['logit_scale', ggufNumber(1 / spec.head.scale)],
        ['residual_scale', ggufNumber(spec.residualScale)],
        ['attention.scale', ggufNumber(spec.blocks[0]!.scoreScale)],
      ]),
    layout: llamaLayout,
  },
});

interface Multipliers {
  readonly embedding: number;
  /** Gives the divisor of the logits. */
  readonly logits: number;
  readonly residual: number;
  readonly attention: number;
}

function withMultipliers(spec: UniformSpec, { embedding, logits, residual, attention }: Multipliers): UniformSpec {
  return {
    ...spec,
    embeddingScale: embedding,
    residualScale: residual,
    head: { ...spec.head, scale: 1 / logits },
    blocks: sameBlocks(spec.layers, { window: null, rope: 0, scoreScale: attention }),
  };
}
