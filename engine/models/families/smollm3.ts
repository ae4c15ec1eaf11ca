/** Defines SmolLM 3: transformers' SmolLM3Config with its defaults, llama.cpp's LLM_ARCH_SMOLLM3. */
import { dropGgufWindow, onlyBiases, unlikeLlamaCpp, withoutDivisors } from './gguf.ts';
import {
  biasesToConfig,
  llamaLayout,
  llamaLikeToConfig,
  llamaLikeToMetadata,
  readBiases,
  readLlamaLike,
  readLlamaLikeGguf,
} from './llama.ts';
import type { ConfigReader } from './reading.ts';
import { uniformFamily, type UniformSpec } from './uniform.ts';
import { withWindows } from './windows.ts';

/** Gives the usual interval of layers without a position embedding: every fourth. llama.cpp knows no other. */
const usualInterval = 4;

export const smollm3 = uniformFamily({
  fromConfig(config) {
    const spec = readLlamaLike(config, {
      family: 'smollm3',
      hiddenSize: 2048,
      intermediateSize: 11008,
      layers: 36,
      heads: 16,
      keyValueHeads: 4,
      vocabularySize: 128256,
      contextLength: 32768,
      tiedEmbeddings: true,
      epsilon: 1e-6,
      theta: 2_000_000,
      biases: readBiases(config),
    });
    // These are left over from Qwen 2's config, from which SmolLM 3 took its windows.
    config.ignore('max_window_layers');
    const rotated = readRotated(config, spec.layers);
    const stated = config.numberOrNull('sliding_window', null);
    const window = config.flag('use_sliding_window', false) ? stated : null;
    return withWindows(config, withRotated(spec, rotated), window, (layer) => !rotated[layer]);
  },
  toConfig: (spec) => ({
    architectures: ['SmolLM3ForCausalLM'],
    model_type: 'smollm3',
    ...llamaLikeToConfig(spec),
    ...biasesToConfig(spec),
    no_rope_layers: spec.blocks.map(({ rope }) => (rope === null ? 0 : 1)),
  }),
  gguf: {
    architecture: 'smollm3',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      const spec = readLlamaLikeGguf(metadata, facts, 'smollm3');
      return withRotated(spec, everyFourthWithout(spec.layers));
    },
    toMetadata(spec) {
      const usual = everyFourthWithout(spec.layers);
      if (spec.blocks.some(({ rope }, layer) => (rope !== null) !== usual[layer]))
        throw unlikeLlamaCpp('smollm3', 'in which other layers than every fourth have no position embedding');
      if (spec.blocks.some(({ window }) => window !== null)) throw unlikeLlamaCpp('smollm3', 'with attention windows');
      onlyBiases(spec, []);
      withoutDivisors(spec);
      return llamaLikeToMetadata(spec);
    },
    layout: llamaLayout,
  },
});

/** Reads which layers have a rotary embedding; `no_rope_layers` says 1 for those that do. */
function readRotated(config: ConfigReader, layers: number): boolean[] {
  const interval = config.count('no_rope_layer_interval', usualInterval);
  const stated = config.numbers('no_rope_layers');
  if (stated === null) return Array.from({ length: layers }, (_, layer) => (layer + 1) % interval !== 0);
  if (stated.length < layers) throw config.unsupported('no_rope_layers', stated);
  return stated.slice(0, layers).map((value) => value !== 0);
}

function everyFourthWithout(layers: number): boolean[] {
  return Array.from({ length: layers }, (_, layer) => (layer + 1) % usualInterval !== 0);
}

function withRotated(spec: UniformSpec, rotated: readonly boolean[]): UniformSpec {
  return { ...spec, blocks: spec.blocks.map((block, layer) => ({ ...block, rope: rotated[layer] ? 0 : null })) };
}
