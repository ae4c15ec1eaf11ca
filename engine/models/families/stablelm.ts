/** Defines StableLM: transformers' StableLmConfig with its defaults, llama.cpp's LLM_ARCH_STABLELM. */
import type { LinearRole, NormSpec } from '../parts.ts';
import { activationNames, readActivation, readRope } from './family.ts';
import { ggufBiases, ggufRope, onlyActivation, readGgufRope, unlikeLlamaCpp, withoutDivisors } from './gguf.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import { readGgufSizes, readSizes, ropeToConfig, sizesToConfig, writeGgufSizes, type Sizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformSpec } from './uniform.ts';
import { ggufNumber } from './writing.ts';

const biases: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v'];

export const stablelm = uniformFamily({
  fromConfig(config) {
    const sizes = readSizes(config, {
      hiddenSize: 2560,
      intermediateSize: 6912,
      layers: 32,
      heads: 32,
      keyValueHeads: 32,
      vocabularySize: 50304,
      contextLength: 4096,
      tiedEmbeddings: false,
    });
    const { headDim, contextLength } = sizes;
    // transformers has no other than this.
    config.require('head_dim', sizes.hiddenSize / sizes.heads);
    // These come from its first code, beside the names that transformers reads.
    config.ignore('num_heads', 'norm_eps', 'rope_pct', 'rotary_scaling_factor');
    return {
      ...stablelmLike(sizes, {
        epsilon: config.number('layer_norm_eps', 1e-5),
        parallel: config.flag('use_parallel_residual', false),
        headNorms: config.flag('qk_layernorm', false),
      }),
      biases: config.flag('use_qkv_bias', false) ? biases : [],
      ropes: [readRope(config, { theta: 10000, headDim, contextLength, partial: 0.25 })],
      feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), form: 'gated' },
    };
  },
  toConfig(spec) {
    const { head_dim: _, ...sizes } = sizesToConfig(spec);
    return {
      architectures: ['StableLmForCausalLM'],
      model_type: 'stablelm',
      ...sizes,
      hidden_act: activationNames[spec.feedForward.activation],
      layer_norm_eps: spec.norm.epsilon,
      use_qkv_bias: spec.biases.length > 0,
      use_parallel_residual: spec.parallel,
      qk_layernorm: spec.queryKeyNorm !== null,
      ...ropeToConfig(spec),
      partial_rotary_factor: spec.ropes[0]!.dimension / spec.headDim,
    };
  },
  /** Names the tensors of the norms of single heads, each of which is a tensor of its own in the hub's files. */
  hubParts: ({ role, name, shape }) =>
    role === 'attn_q_norm' || role === 'attn_k_norm'
      ? Array.from({ length: shape[0]! }, (_, head) => name.replace('.weight', `.norms.${head}.weight`))
      : null,
  gguf: {
    architecture: 'stablelm',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      // llama.cpp decides by whether there is a second norm.
      metadata.ignore('use_parallel_residual');
      return {
        ...stablelmLike(sizes, {
          epsilon: metadata.number('attention.layer_norm_epsilon'),
          parallel: facts.shape('blk.0.ffn_norm.weight') === null,
          headNorms: facts.shape('blk.0.attn_q_norm.weight') !== null,
        }),
        biases: ggufBiases(facts),
        ropes: [readGgufRope(metadata, facts, sizes.headDim)],
        feedForward: { activation: 'silu', form: 'gated' },
      };
    },
    toMetadata(spec) {
      if (spec.tiedEmbeddings) throw unlikeLlamaCpp('stablelm', 'whose output head is its embedding');
      onlyActivation(spec, 'silu');
      withoutDivisors(spec);
      return new Map([
        ...writeGgufSizes(spec),
        ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
        ['use_parallel_residual', { type: 'bool', value: spec.parallel }],
        ...ggufRope(spec),
      ]);
    },
  },
});

interface Choices {
  readonly epsilon: number;
  /** Says whether attention and feed-forward read the same norm. */
  readonly parallel: boolean;
  readonly headNorms: boolean;
}

function stablelmLike(
  sizes: Sizes,
  { epsilon, parallel, headNorms }: Choices,
): Omit<UniformSpec, 'biases' | 'ropes' | 'feedForward'> {
  const { ffn_norm, ...block } = llamaModules.block;
  const headModules = { attn_q_norm: 'self_attn.q_layernorm', attn_k_norm: 'self_attn.k_layernorm' };
  const modules: ModuleNames = {
    ...llamaModules,
    block: { ...block, ...(parallel ? {} : { ffn_norm: ffn_norm! }), ...(headNorms ? headModules : {}) },
  };
  const norm: NormSpec = { kind: 'layer', epsilon, weight: 'plain', bias: true };
  return {
    ...usualSpec,
    ...sizes,
    family: 'stablelm',
    modules,
    norm,
    parallel,
    queryKeyNorm: headNorms ? { over: 'own-head', norm: { ...norm, bias: false } } : null,
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
  };
}
