/** Defines GPT-2: transformers' GPT2Config with its defaults, llama.cpp's LLM_ARCH_GPT2. */
import { transposed } from '../layout.ts';
import type { LinearRole, NormSpec } from '../parts.ts';
import { activationNames, readActivation } from './family.ts';
import { ggufBiases } from './gguf.ts';
import type { ModuleNames } from './names.ts';
import { readGgufSizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec } from './uniform.ts';
import { ggufCount, ggufNumber } from './writing.ts';

const linears: readonly LinearRole[] = ['attn_qkv', 'attn_output', 'ffn_up', 'ffn_down'];

const modules: ModuleNames = {
  token_embd: 'transformer.wte',
  position_embd: 'transformer.wpe',
  output_norm: 'transformer.ln_f',
  output: 'lm_head',
  blocks: 'transformer.h',
  block: {
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
};

export const gpt2 = uniformFamily({
  fromConfig(config) {
    const hiddenSize = config.count('n_embd', 768);
    const heads = config.count('n_head', 12);
    const layers = config.layers('n_layer', 12);
    const contextLength = config.count('n_positions', 1024);
    const headDim = hiddenSize / heads;
    if (config.flag('add_cross_attention', false)) throw config.unsupported('add_cross_attention', true);
    // This only changes the order of the same float32 arithmetic.
    config.ignore('reorder_and_upcast_attn', 'n_ctx');
    const scale = config.flag('scale_attn_weights', true) ? 1 / Math.sqrt(headDim) : 1;
    const byLayer = config.flag('scale_attn_by_inverse_layer_idx', false);
    return {
      ...usualSpec,
      family: 'gpt2',
      modules,
      hiddenSize,
      intermediateSize: config.count('n_inner', 4 * hiddenSize),
      layers,
      heads,
      keyValueHeads: heads,
      headDim,
      vocabularySize: config.count('vocab_size', 50257),
      contextLength,
      norm: norm(config.number('layer_norm_epsilon', 1e-5)),
      biases: linears,
      tiedEmbeddings: config.flag('tie_word_embeddings', true),
      learnedPositions: contextLength,
      blocks: sameBlocks(layers, { window: null, rope: null, scoreScale: scale }).map((block, layer) => ({
        ...block,
        scoreScale: byLayer ? scale / (layer + 1) : scale,
      })),
      ropes: [],
      feedForward: { activation: readActivation(config, 'activation_function', 'gelu_new'), form: 'plain' },
    };
  },
  toConfig: (spec) => ({
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_embd: spec.hiddenSize,
    n_inner: spec.intermediateSize,
    n_layer: spec.layers,
    n_head: spec.heads,
    n_positions: spec.contextLength,
    vocab_size: spec.vocabularySize,
    layer_norm_epsilon: spec.norm.epsilon,
    activation_function:
      spec.feedForward.activation === 'gelu_tanh' ? 'gelu_new' : activationNames[spec.feedForward.activation],
    tie_word_embeddings: spec.tiedEmbeddings,
  }),
  // With Conv1D the linear layers of the blocks are stored as [in, out].
  hubLayout: ({ role, kind }) => (kind === 'weight' && linears.includes(role as LinearRole) ? transposed : null),
  unusedTensors: /(^|\.)h\.\d+\.attn\.(bias|masked_bias)$/,
  gguf: {
    architecture: 'gpt2',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      return {
        ...usualSpec,
        ...sizes,
        family: 'gpt2',
        modules,
        norm: norm(metadata.number('attention.layer_norm_epsilon')),
        biases: ggufBiases(facts),
        learnedPositions: facts.shape('position_embd.weight')?.[0] ?? sizes.contextLength,
        blocks: sameBlocks(sizes.layers, { window: null, rope: null, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
        ropes: [],
        feedForward: { activation: 'gelu_tanh', form: 'plain' },
      };
    },
    toMetadata: (spec) =>
      new Map([
        ['block_count', ggufCount(spec.layers)],
        ['context_length', ggufCount(spec.contextLength)],
        ['embedding_length', ggufCount(spec.hiddenSize)],
        ['feed_forward_length', ggufCount(spec.intermediateSize)],
        ['attention.head_count', ggufCount(spec.heads)],
        ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
      ]),
  },
});

function norm(epsilon: number): NormSpec {
  return { kind: 'layer', epsilon, weight: 'plain', bias: true };
}
