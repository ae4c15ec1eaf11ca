/** Defines Qwen 3, dense: transformers' Qwen3Config with its defaults, llama.cpp's LLM_ARCH_QWEN3. */
import { dropGgufWindow } from './gguf.ts';
import { llamaLikeToConfig, readBiases, readLlamaLike, readLlamaLikeGguf } from './llama.ts';
import { llamaModules } from './names.ts';
import { qwenToMetadata, withQwenWindows } from './qwen2.ts';
import { uniformFamily, type UniformSpec } from './uniform.ts';

export const qwen3 = uniformFamily({
  fromConfig(config) {
    config.require('mlp_bias', false);
    const spec = readLlamaLike(config, {
      family: 'qwen3',
      hiddenSize: 4096,
      intermediateSize: 22016,
      layers: 32,
      heads: 32,
      keyValueHeads: 32,
      headDim: 128,
      vocabularySize: 151936,
      contextLength: 32768,
      tiedEmbeddings: false,
      epsilon: 1e-6,
      theta: 10000,
      biases: readBiases(config),
    });
    return withHeadNorms(withQwenWindows(config, spec));
  },
  toConfig: (spec) => ({
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    ...llamaLikeToConfig(spec),
    attention_bias: spec.biases.includes('attn_q'),
  }),
  gguf: {
    architecture: 'qwen3',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      return withHeadNorms(readLlamaLikeGguf(metadata, facts, 'qwen3'));
    },
    toMetadata: qwenToMetadata,
  },
});

/** Adds the norm of queries and keys, over each head with one weight for all heads. */
function withHeadNorms(spec: UniformSpec): UniformSpec {
  const block = { ...llamaModules.block, attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' };
  return { ...spec, modules: { ...llamaModules, block }, queryKeyNorm: { over: 'head', norm: spec.norm } };
}
