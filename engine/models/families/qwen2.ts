/** Defines Qwen 2 and 2.5: transformers' Qwen2Config with its defaults, llama.cpp's LLM_ARCH_QWEN2. */
import type { GgufValue } from '../../formats/gguf.ts';
import { dropGgufWindow, onlyBiases, withoutDivisors } from './gguf.ts';
import { llamaLikeToConfig, llamaLikeToMetadata, readLlamaLike, readLlamaLikeGguf } from './llama.ts';
import type { ConfigReader } from './reading.ts';
import { uniformFamily, type UniformSpec } from './uniform.ts';
import { withWindows } from './windows.ts';

export const qwen2 = uniformFamily({
  fromConfig(config) {
    const spec = readLlamaLike(config, {
      family: 'qwen2',
      hiddenSize: 4096,
      intermediateSize: 22016,
      layers: 32,
      heads: 32,
      keyValueHeads: 32,
      vocabularySize: 151936,
      contextLength: 32768,
      tiedEmbeddings: false,
      epsilon: 1e-6,
      theta: 10000,
      biases: ['attn_q', 'attn_k', 'attn_v'],
    });
    config.require('use_mrope', false);
    return withQwenWindows(config, spec);
  },
  toConfig: (spec) => ({ architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', ...llamaLikeToConfig(spec) }),
  gguf: {
    architecture: 'qwen2',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      return readLlamaLikeGguf(metadata, facts, 'qwen2');
    },
    toMetadata: qwenToMetadata,
  },
});

/** Adds the windows. If layers have one, it is those from `max_window_layers` on. */
export function withQwenWindows(config: ConfigReader, spec: UniformSpec): UniformSpec {
  const stated = config.numberOrNull('sliding_window', 4096);
  const window = config.flag('use_sliding_window', false) ? stated : null;
  const first = config.count('max_window_layers', 28);
  if (config.object('dual_chunk_attention_config') !== null)
    config.note('Dual chunk attention for rows of hundreds of thousands of tokens is not computed, as in transformers.');
  return withWindows(config, spec, window, (layer) => layer >= first);
}

export function qwenToMetadata(spec: UniformSpec): Map<string, GgufValue> {
  onlyBiases(spec, ['attn_q', 'attn_k', 'attn_v']);
  withoutDivisors(spec);
  return llamaLikeToMetadata(spec);
}
