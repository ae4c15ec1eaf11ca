/** Defines Phi 1 to 2: transformers' PhiConfig with its defaults, llama.cpp's LLM_ARCH_PHI2. */
import type { LinearRole, NormSpec } from '../parts.ts';
import { activationNames, readActivation, readRope } from './family.ts';
import { ggufRope, onlyActivation, readGgufRope, unlikeLlamaCpp, withoutDivisors } from './gguf.ts';
import type { ModuleNames } from './names.ts';
import { readGgufSizes, readSizes, ropeToConfig, sizesToConfig, writeGgufSizes, type Sizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformSpec } from './uniform.ts';
import { ggufNumber } from './writing.ts';

const modules: ModuleNames = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.final_layernorm',
  output: 'lm_head',
  blocks: 'model.layers',
  block: {
    attn_norm: 'input_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.dense',
    ffn_up: 'mlp.fc1',
    ffn_down: 'mlp.fc2',
  },
};
const headNormModules = { attn_q_norm: 'self_attn.q_layernorm', attn_k_norm: 'self_attn.k_layernorm' };

const biases: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_up', 'ffn_down'];

export const phi = uniformFamily({
  fromConfig(config) {
    const sizes = readSizes(config, {
      hiddenSize: 2048,
      intermediateSize: 8192,
      layers: 24,
      heads: 32,
      keyValueHeads: null,
      vocabularySize: 51200,
      contextLength: 2048,
      tiedEmbeddings: false,
    });
    const { headDim, contextLength } = sizes;
    return {
      ...phiLike(sizes, config.number('layer_norm_eps', 1e-5), config.flag('qk_layernorm', false)),
      ropes: [readRope(config, { theta: 10000, headDim, contextLength, partial: 0.5 })],
      feedForward: { activation: readActivation(config, 'hidden_act', 'gelu_new'), form: 'plain' },
    };
  },
  toConfig: (spec) => ({
    architectures: ['PhiForCausalLM'],
    model_type: 'phi',
    ...sizesToConfig(spec),
    hidden_act: activationNames[spec.feedForward.activation],
    layer_norm_eps: spec.norm.epsilon,
    qk_layernorm: spec.queryKeyNorm !== null,
    ...ropeToConfig(spec),
    partial_rotary_factor: spec.ropes[0]!.dimension / spec.headDim,
  }),
  gguf: {
    architecture: 'phi2',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      return {
        ...phiLike(sizes, metadata.number('attention.layer_norm_epsilon'), false),
        ropes: [readGgufRope(metadata, facts, sizes.headDim)],
        feedForward: { activation: 'gelu_tanh', form: 'plain' },
      };
    },
    toMetadata(spec) {
      if (spec.queryKeyNorm !== null) throw unlikeLlamaCpp('phi', 'that norms its queries and keys');
      if (spec.tiedEmbeddings) throw unlikeLlamaCpp('phi', 'whose output head is its embedding');
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

function phiLike(sizes: Sizes, epsilon: number, headNorms: boolean): Omit<UniformSpec, 'ropes' | 'feedForward'> {
  const norm: NormSpec = { kind: 'layer', epsilon, weight: 'plain', bias: true };
  return {
    ...usualSpec,
    ...sizes,
    family: 'phi',
    modules: headNorms ? { ...modules, block: { ...modules.block, ...headNormModules } } : modules,
    norm,
    biases,
    parallel: true,
    queryKeyNorm: headNorms ? { over: 'head', norm } : null,
    head: { ...usualSpec.head, bias: true },
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
  };
}
