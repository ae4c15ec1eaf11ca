/** Defines Phi 3, 3.5 and 4: transformers' Phi3Config with its defaults, llama.cpp's LLM_ARCH_PHI3. */
import { activationNames, readActivation, readRope } from './family.ts';
import { dropGgufWindow, ggufRope, onlyActivation, readGgufRope } from './gguf.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import { readGgufSizes, readSizes, ropeToConfig, sizesToConfig, writeGgufSizes, type Sizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformSpec } from './uniform.ts';
import { withWindows } from './windows.ts';
import { ggufCount, ggufNumber } from './writing.ts';

const modules: ModuleNames = {
  ...llamaModules,
  block: {
    attn_norm: 'input_layernorm',
    attn_qkv: 'self_attn.qkv_proj',
    attn_output: 'self_attn.o_proj',
    ffn_norm: 'post_attention_layernorm',
    ffn_up: 'mlp.gate_up_proj',
    ffn_down: 'mlp.down_proj',
  },
};

/** Gives the context length of the first Phi 3 in tokens, which every config of the family means where it does not say. */
const usualOriginalContext = 4096;

export const phi3 = uniformFamily({
  fromConfig(config) {
    const sizes = readSizes(config, {
      hiddenSize: 3072,
      intermediateSize: 8192,
      layers: 32,
      heads: 32,
      keyValueHeads: null,
      vocabularySize: 32064,
      contextLength: 4096,
      tiedEmbeddings: false,
    });
    // These belong to Phi's own code. transformers builds nothing else, and hub configs state them.
    for (const field of ['attention_bias', 'mlp_bias', 'lm_head_bias']) config.require(field, false);
    for (const field of ['full_attn_mod', 'interpolate_factor']) config.require(field, 1);
    const { headDim, contextLength } = sizes;
    const rope = readRope(config, {
      theta: 10000,
      headDim,
      contextLength,
      partial: 1,
      originalContextLength: usualOriginalContext,
      aliases: { su: 'longrope', yarn: 'longrope' },
    });
    if (rope.scaling.kind !== 'none' && rope.scaling.kind !== 'longrope')
      throw config.unsupported('rope_scaling', rope.scaling.kind);
    const spec: UniformSpec = {
      ...phi3Like(sizes, config.number('rms_norm_eps', 1e-5)),
      ropes: [rope],
      feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), form: 'fused' },
    };
    return withWindows(config, spec, config.numberOrNull('sliding_window', null));
  },
  toConfig(spec) {
    const { head_dim: _, ...sizes } = sizesToConfig(spec);
    const { scaling } = spec.ropes[0]!;
    return {
      architectures: ['Phi3ForCausalLM'],
      model_type: 'phi3',
      ...sizes,
      hidden_act: activationNames[spec.feedForward.activation],
      rms_norm_eps: spec.norm.epsilon,
      original_max_position_embeddings: scaling.kind === 'longrope' ? scaling.originalContextLength : usualOriginalContext,
      sliding_window: spec.blocks[0]?.window ?? null,
      ...ropeToConfig(spec),
    };
  },
  gguf: {
    architecture: 'phi3',
    fromMetadata(metadata, facts) {
      dropGgufWindow(metadata);
      const sizes = readGgufSizes(metadata, facts);
      return {
        ...phi3Like(sizes, metadata.number('attention.layer_norm_rms_epsilon')),
        ropes: [readGgufRope(metadata, facts, sizes.headDim)],
        feedForward: { activation: 'silu', form: 'fused' },
      };
    },
    toMetadata(spec) {
      onlyActivation(spec, 'silu');
      return new Map([
        ...writeGgufSizes(spec),
        ['attention.layer_norm_rms_epsilon', ggufNumber(spec.norm.epsilon)],
        ['rope.scaling.original_context_length', ggufCount(usualOriginalContext)],
        ...ggufRope(spec),
        // llama.cpp tells Phi 4 from Phi 3 by its 0, and uses neither.
        ['attention.sliding_window', ggufCount(spec.blocks[0]?.window ?? 0)],
      ]);
    },
  },
});

function phi3Like(sizes: Sizes, epsilon: number): Omit<UniformSpec, 'ropes' | 'feedForward'> {
  return {
    ...usualSpec,
    ...sizes,
    family: 'phi3',
    modules,
    norm: { kind: 'rms', epsilon, weight: 'plain', bias: false },
    biases: [],
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
  };
}
