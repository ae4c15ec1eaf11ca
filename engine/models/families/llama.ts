/** Llama: transformers' LlamaConfig with its defaults, llama.cpp's LLM_ARCH_LLAMA. */
import type { GgufValue } from '../../formats/gguf.ts';
import { interleavedRows, type Layout } from '../layout.ts';
import { usualSpec, type DecoderSpec, type LinearRole, type ModelTensor, type RopeScaling } from '../spec.ts';
import {
  activationNames,
  ggufBiases,
  llamaModules,
  readActivation,
  readGgufSizes,
  readRope,
  sameBlocks,
  writeGgufSizes,
  type Family,
  type GgufFacts,
} from './family.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';
import { ggufCount, ggufNumber, ggufText, ropeScalingToConfig } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];
const feedForward: readonly LinearRole[] = ['ffn_gate', 'ffn_up', 'ffn_down'];

export const llama: Family = {
  fromConfig,
  toConfig,
  gguf: { architecture: 'llama', fromMetadata, toMetadata, layout: llamaLayout },
};

function fromConfig(config: ConfigReader): DecoderSpec {
  const hiddenSize = config.count('hidden_size', 4096);
  const heads = config.count('num_attention_heads', 32);
  const headDim = config.count('head_dim', 0) || hiddenSize / heads;
  const contextLength = config.count('max_position_embeddings', 2048);
  const layers = config.layers('num_hidden_layers', 32);
  // Old conversion scripts' note that q and k rows are interleaved; transformers ignores it, and true would be another model.
  if (config.flag('rope_interleaved', false)) throw config.unsupported('rope_interleaved', true);
  return {
    ...usualSpec,
    family: 'llama',
    modules: llamaModules,
    hiddenSize,
    intermediateSize: config.count('intermediate_size', 11008),
    layers,
    heads,
    keyValueHeads: config.count('num_key_value_heads', heads),
    headDim,
    vocabularySize: config.count('vocab_size', 32000),
    contextLength,
    norm: { kind: 'rms', epsilon: config.number('rms_norm_eps', 1e-6), weight: 'plain', bias: false },
    biases: [
      ...(config.flag('attention_bias', false) ? attention : []),
      ...(config.flag('mlp_bias', false) ? feedForward : []),
    ],
    tiedEmbeddings: config.flag('tie_word_embeddings', false),
    blocks: sameBlocks(layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(headDim) }),
    ropes: [readRope(config, { theta: 10000, headDim, contextLength })],
    feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), kind: 'gated' },
  };
}

function toConfig(spec: DecoderSpec): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: spec.hiddenSize,
    intermediate_size: spec.intermediateSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.keyValueHeads,
    head_dim: spec.headDim,
    hidden_act: activationNames[spec.feedForward.activation],
    vocab_size: spec.vocabularySize,
    max_position_embeddings: spec.contextLength,
    rms_norm_eps: spec.norm.epsilon,
    attention_bias: spec.biases.includes('attn_q'),
    mlp_bias: spec.biases.includes('ffn_up'),
    tie_word_embeddings: spec.tiedEmbeddings,
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
  };
}

function fromMetadata(metadata: MetadataReader, facts: GgufFacts): DecoderSpec {
  const sizes = readGgufSizes(metadata, facts);
  metadata.require('rope.dimension_count', sizes.headDim);
  metadata.require('expert_count', 0);
  metadata.require('expert_used_count', 0);
  metadata.ignore('rope.scaling.original_context_length', 'rope.scaling.finetuned');
  return {
    ...usualSpec,
    ...sizes,
    family: 'llama',
    modules: llamaModules,
    norm: { kind: 'rms', epsilon: metadata.number('attention.layer_norm_rms_epsilon'), weight: 'plain', bias: false },
    biases: ggufBiases(facts),
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
    ropes: [
      {
        theta: metadata.number('rope.freq_base', 10000),
        dimension: sizes.headDim,
        interleaved: false,
        scaling: readGgufScaling(metadata, facts),
      },
    ],
    feedForward: { activation: 'silu', kind: 'gated' },
  };
}

function readGgufScaling(metadata: MetadataReader, facts: GgufFacts): RopeScaling {
  const oldFactor = metadata.number('rope.scale_linear', 1);
  const factor = metadata.number('rope.scaling.factor', oldFactor);
  const kind = metadata.text('rope.scaling.type', oldFactor === 1 ? 'none' : 'linear');
  if (kind !== 'none' && kind !== 'linear') throw metadata.unsupported('rope.scaling.type', kind);
  if (facts.ropeFactors) {
    if (kind === 'linear' && factor !== 1)
      throw metadata.unsupported('rope.scaling.type', 'linear together with rope_freqs.weight');
    return { kind: 'factors', factors: facts.ropeFactors };
  }
  return kind === 'linear' ? { kind: 'linear', factor } : { kind: 'none' };
}

function toMetadata(spec: DecoderSpec): Map<string, GgufValue> {
  const rope = spec.ropes[0]!;
  return new Map([
    ...writeGgufSizes(spec),
    ['attention.layer_norm_rms_epsilon', ggufNumber(spec.norm.epsilon)],
    ['rope.freq_base', ggufNumber(rope.theta)],
    ['rope.dimension_count', ggufCount(rope.dimension)],
    ...(rope.scaling.kind === 'linear'
      ? ([
          ['rope.scaling.type', ggufText('linear')],
          ['rope.scaling.factor', ggufNumber(rope.scaling.factor)],
        ] as const)
      : []),
  ]);
}

/** Queries and keys are rotated by neighbouring pairs in llama.cpp. */
export function llamaLayout({ role }: ModelTensor, spec: DecoderSpec): Layout | null {
  if (role === 'attn_q') return interleavedRows(spec.heads);
  return role === 'attn_k' ? interleavedRows(spec.keyValueHeads) : null;
}
