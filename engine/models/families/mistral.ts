/**
 * Defines Mistral: transformers' MistralConfig, or MinistralConfig with layer types; in llama.cpp it is a Llama without a
 * window.
 */
import { llamaGguf, llamaLikeToConfig, readLlamaLike } from './llama.ts';
import { uniformFamily } from './uniform.ts';
import { withWindows } from './windows.ts';

export const mistral = uniformFamily({
  fromConfig(config) {
    const spec = readLlamaLike(config, {
      family: 'mistral',
      hiddenSize: 4096,
      intermediateSize: 14336,
      layers: 32,
      heads: 32,
      keyValueHeads: 8,
      vocabularySize: 32000,
      contextLength: 131072,
      tiedEmbeddings: false,
      epsilon: 1e-6,
      theta: 10000,
      biases: [],
    });
    return withWindows(config, spec, config.numberOrNull('sliding_window', 4096), () => true);
  },
  toConfig: (spec) => ({
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    ...llamaLikeToConfig(spec),
    sliding_window: spec.blocks[0]?.window ?? null,
  }),
  gguf: llamaGguf,
});
