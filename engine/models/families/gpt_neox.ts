/** Defines GPT-NeoX and Pythia: transformers' GPTNeoXConfig with its defaults, llama.cpp's LLM_ARCH_GPTNEOX. */
import { rowsByKind } from '../layout.ts';
import { attentionOf } from '../mixers/index.ts';
import type { LinearRole, NormSpec } from '../parts.ts';
import { activationNames, readActivation, readRopeParameters, ropeParameters } from './family.ts';
import { ggufBiases } from './gguf.ts';
import type { ModuleNames } from './names.ts';
import { readGgufSizes, writeGgufSizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec } from './uniform.ts';
import { ggufCount, ggufFlag, ggufNumber, ropeScalingToConfig } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_qkv', 'attn_output'];
const feedForward: readonly LinearRole[] = ['ffn_up', 'ffn_down'];

const modules: ModuleNames = {
  token_embd: 'gpt_neox.embed_in',
  output_norm: 'gpt_neox.final_layer_norm',
  output: 'embed_out',
  blocks: 'gpt_neox.layers',
  block: {
    attn_norm: 'input_layernorm',
    attn_qkv: 'attention.query_key_value',
    attn_output: 'attention.dense',
    ffn_norm: 'post_attention_layernorm',
    ffn_up: 'mlp.dense_h_to_4h',
    ffn_down: 'mlp.dense_4h_to_h',
  },
};

export const gptNeox = uniformFamily({
  fromConfig(config) {
    const hiddenSize = config.count('hidden_size', 6144);
    const heads = config.count('num_attention_heads', 64);
    const layers = config.layers('num_hidden_layers', 44);
    const contextLength = config.count('max_position_embeddings', 2048);
    const headDim = hiddenSize / heads;
    const theta = config.number('rotary_emb_base', 10000);
    const partial = config.number('rotary_pct', 0.25);
    const rope = readRopeParameters(ropeParameters(config), { theta, partial, headDim, contextLength });
    // transformers 4 writes it beside those two, and nothing reads it.
    config.require('rope_theta', theta);
    config.require('partial_rotary_factor', partial);
    return {
      ...usualSpec,
      family: 'gpt_neox',
      modules,
      hiddenSize,
      intermediateSize: config.count('intermediate_size', 24576),
      layers,
      heads,
      keyValueHeads: heads,
      headDim,
      vocabularySize: config.count('vocab_size', 50432),
      contextLength,
      norm: norm(config.number('layer_norm_eps', 1e-5)),
      biases: [...(config.flag('attention_bias', true) ? attention : []), ...feedForward],
      tiedEmbeddings: config.flag('tie_word_embeddings', false),
      blocks: sameBlocks(layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(headDim) }),
      ropes: [rope],
      fusedLayout: 'by-head',
      parallel: config.flag('use_parallel_residual', true),
      feedForward: { activation: readActivation(config, 'hidden_act', 'gelu'), form: 'plain' },
    };
  },
  toConfig: (spec) => ({
    architectures: ['GPTNeoXForCausalLM'],
    model_type: 'gpt_neox',
    hidden_size: spec.hiddenSize,
    intermediate_size: spec.intermediateSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    vocab_size: spec.vocabularySize,
    max_position_embeddings: spec.contextLength,
    layer_norm_eps: spec.norm.epsilon,
    attention_bias: spec.biases.includes('attn_qkv'),
    tie_word_embeddings: spec.tiedEmbeddings,
    use_parallel_residual: spec.parallel,
    hidden_act: activationNames[spec.feedForward.activation],
    rotary_emb_base: spec.ropes[0]!.theta,
    rotary_pct: spec.ropes[0]!.dimension / spec.headDim,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
  }),
  hubAlias: (name) => name.replace(/^embed_out\./, 'lm_head.'),
  unusedTensors: /\.attention\.(bias|masked_bias)$/,
  gguf: {
    architecture: 'gptneox',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      metadata.note(
        'GELU is computed by its approximation, as llama.cpp always does, even if the model was trained with the exact one.',
      );
      return {
        ...usualSpec,
        ...sizes,
        family: 'gpt_neox',
        modules,
        norm: norm(metadata.number('attention.layer_norm_epsilon')),
        biases: ggufBiases(facts),
        blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
        ropes: [
          {
            theta: metadata.number('rope.freq_base', 10000),
            dimension: metadata.number('rope.dimension_count', sizes.headDim),
            interleaved: false,
            scaling: { kind: 'none' },
          },
        ],
        fusedLayout: 'by-head',
        parallel: metadata.flag('use_parallel_residual', true),
        feedForward: { activation: 'gelu_tanh', form: 'plain' },
      };
    },
    toMetadata: (spec) =>
      new Map([
        ...writeGgufSizes(spec),
        ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
        ['use_parallel_residual', ggufFlag(spec.parallel)],
        ['rope.dimension_count', ggufCount(spec.ropes[0]!.dimension)],
        ['rope.freq_base', ggufNumber(spec.ropes[0]!.theta)],
      ]),
    layout: ({ role, layer }, { blocks }) => (role === 'attn_qkv' ? rowsByKind(attentionOf(blocks[layer!]!).heads) : null),
  },
});

function norm(epsilon: number): NormSpec {
  return { kind: 'layer', epsilon, weight: 'plain', bias: true };
}
