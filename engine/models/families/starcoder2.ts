/** Defines StarCoder 2: transformers' Starcoder2Config with its defaults, llama.cpp's LLM_ARCH_STARCODER2. */
import type { LinearRole } from '../parts.ts';
import { activationNames, readActivation, readRope } from './family.ts';
import { dropGgufWindow, ggufBiases, ggufRope, onlyActivation, readGgufRope, unlikeLlamaCpp, withoutDivisors } from './gguf.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import { readGgufSizes, readSizes, ropeToConfig, sizesToConfig, writeGgufSizes, type Sizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformSpec } from './uniform.ts';
import { withWindows } from './windows.ts';
import { ggufNumber } from './writing.ts';

const { ffn_gate: _, ...shared } = llamaModules.block;
const modules: ModuleNames = { ...llamaModules, block: { ...shared, ffn_up: 'mlp.c_fc', ffn_down: 'mlp.c_proj' } };

const biases: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_up', 'ffn_down'];

export const starcoder2 = uniformFamily({
  fromConfig(config) {
    const sizes = readSizes(config, {
      hiddenSize: 3072,
      intermediateSize: 12288,
      layers: 30,
      heads: 24,
      keyValueHeads: 2,
      vocabularySize: 49152,
      contextLength: 4096,
      tiedEmbeddings: true,
    });
    const { headDim, contextLength } = sizes;
    // These come from its training code; transformers builds only these kinds.
    config.require('norm_type', 'layer_norm');
    config.require('mlp_type', 'default');
    // These are left over from GPT-BigCode; transformers reads none of them.
    config.ignore('activation_function', 'layer_norm_epsilon', 'scale_attn_weights');
    config.ignore('attention_softmax_in_fp32', 'scale_attention_softmax_in_fp32');
    const spec: UniformSpec = {
      ...starcoderLike(sizes, config.number('norm_epsilon', 1e-5)),
      biases: config.flag('use_bias', true) ? biases : [],
      ropes: [readRope(config, { theta: 10000, headDim, contextLength })],
      feedForward: { activation: readActivation(config, 'hidden_act', 'gelu_pytorch_tanh'), form: 'plain' },
    };
    return withWindows(config, spec, config.numberOrNull('sliding_window', null));
  },
  toConfig: (spec) => ({
    architectures: ['Starcoder2ForCausalLM'],
    model_type: 'starcoder2',
    ...sizesToConfig(spec),
    hidden_act: activationNames[spec.feedForward.activation],
    norm_epsilon: spec.norm.epsilon,
    use_bias: spec.biases.length > 0,
    sliding_window: spec.blocks[0]?.window ?? null,
    ...ropeToConfig(spec),
  }),
  gguf: {
    architecture: 'starcoder2',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      const sizes = readGgufSizes(metadata, facts);
      return {
        ...starcoderLike(sizes, metadata.number('attention.layer_norm_epsilon')),
        biases: ggufBiases(facts),
        ropes: [readGgufRope(metadata, facts, sizes.headDim)],
        feedForward: { activation: 'gelu_tanh', form: 'plain' },
      };
    },
    toMetadata(spec) {
      if (spec.biases.length === 0) throw unlikeLlamaCpp('starcoder2', 'without biases');
      onlyActivation(spec, 'gelu_tanh');
      withoutDivisors(spec);
      return new Map([
        ...writeGgufSizes(spec),
        ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
        ...ggufRope(spec),
      ]);
    },
  },
});

function starcoderLike(sizes: Sizes, epsilon: number): Omit<UniformSpec, 'biases' | 'ropes' | 'feedForward'> {
  return {
    ...usualSpec,
    ...sizes,
    family: 'starcoder2',
    modules,
    norm: { kind: 'layer', epsilon, weight: 'plain', bias: true },
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
  };
}
