/**
 * Defines Llama (transformers' LlamaConfig with its defaults, llama.cpp's LLM_ARCH_LLAMA), and what many families share with
 * it.
 */
import type { GgufValue } from '../../formats/gguf.ts';
import { interleavedRows, type Layout } from '../layout.ts';
import { attentionOf } from '../mixers/index.ts';
import type { LinearRole } from '../parts.ts';
import type { DecoderSpec, ModelTensor, RopeSpec } from '../spec.ts';
import { activationNames, readActivation, readRope, type GgufFacts } from './family.ts';
import { dropGgufWindow, ggufBiases, ggufRope, onlyActivation, readGgufRope } from './gguf.ts';
import { llamaModules } from './names.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';
import {
  readGgufSizes,
  readSizes,
  ropeToConfig,
  sizesToConfig,
  writeGgufSizes,
  type SizeDefaults,
  type Sizes,
} from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformGguf, type UniformSpec } from './uniform.ts';
import { ggufNumber } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];
const feedForward: readonly LinearRole[] = ['ffn_gate', 'ffn_up', 'ffn_down'];

export const llamaGguf: UniformGguf = {
  architecture: 'llama',
  fromMetadata(metadata, facts) {
    dropGgufWindow(metadata);
    if (
      !metadata.has('attention.sliding_window') &&
      /mi[sn]i?stral/i.test(metadata.general('name') + metadata.general('basename'))
    )
      metadata.note(
        'A GGUF of a Mistral model does not carry its attention window. As in llama.cpp, a token attends to all before it.',
      );
    return readLlamaLikeGguf(metadata, facts, 'llama');
  },
  toMetadata: llamaLikeToMetadata,
  layout: llamaLayout,
};

export const llama = uniformFamily({
  fromConfig(config) {
    // Old conversion scripts note here that q and k rows are interleaved. transformers ignores it, and true would be another
    // model.
    config.require('rope_interleaved', false);
    // Falcon 3 states its `hidden_act` under this name too.
    config.require('activation', 'swiglu');
    return readLlamaLike(config, {
      family: 'llama',
      hiddenSize: 4096,
      intermediateSize: 11008,
      layers: 32,
      heads: 32,
      keyValueHeads: null,
      vocabularySize: 32000,
      contextLength: 2048,
      tiedEmbeddings: false,
      epsilon: 1e-6,
      theta: 10000,
      biases: readBiases(config),
    });
  },
  toConfig: (spec) => ({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...llamaLikeToConfig(spec),
    ...biasesToConfig(spec),
  }),
  gguf: llamaGguf,
});

/** Reads `attention_bias` and `mlp_bias`. */
export function readBiases(config: ConfigReader): LinearRole[] {
  return [...(config.flag('attention_bias', false) ? attention : []), ...(config.flag('mlp_bias', false) ? feedForward : [])];
}

export function biasesToConfig({ biases }: UniformSpec): Record<string, unknown> {
  return { attention_bias: biases.includes('attn_output'), mlp_bias: biases.includes('ffn_up') };
}

export interface LlamaDefaults extends SizeDefaults {
  readonly family: string;
  readonly epsilon: number;
  readonly theta: number;
  readonly biases: readonly LinearRole[];
  /** Returns the rotary embedding. If it is left out, it is a plain one with `theta`. */
  readonly rope?: (sizes: Sizes) => RopeSpec;
}

/**
 * Reads a model with RMS norms, rotary embedding and gated feed-forward. A family changes in the spec what it does differently.
 */
export function readLlamaLike(config: ConfigReader, defaults: LlamaDefaults): UniformSpec {
  const sizes = readSizes(config, defaults);
  const { headDim, contextLength, layers } = sizes;
  return {
    ...usualSpec,
    ...sizes,
    family: defaults.family,
    modules: llamaModules,
    norm: { kind: 'rms', epsilon: config.number('rms_norm_eps', defaults.epsilon), weight: 'plain', bias: false },
    biases: defaults.biases,
    blocks: sameBlocks(layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(headDim) }),
    ropes: [defaults.rope?.(sizes) ?? readRope(config, { theta: defaults.theta, headDim, contextLength })],
    feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), form: 'gated' },
  };
}

export function llamaLikeToConfig(spec: UniformSpec): Record<string, unknown> {
  return {
    ...sizesToConfig(spec),
    hidden_act: activationNames[spec.feedForward.activation],
    rms_norm_eps: spec.norm.epsilon,
    ...ropeToConfig(spec),
  };
}

export function readLlamaLikeGguf(metadata: MetadataReader, facts: GgufFacts, family: string): UniformSpec {
  const sizes = readGgufSizes(metadata, facts);
  metadata.require('expert_count', 0);
  metadata.require('expert_used_count', 0);
  return {
    ...usualSpec,
    ...sizes,
    family,
    modules: llamaModules,
    norm: { kind: 'rms', epsilon: metadata.number('attention.layer_norm_rms_epsilon'), weight: 'plain', bias: false },
    biases: ggufBiases(facts),
    blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
    ropes: [readGgufRope(metadata, facts, sizes.headDim)],
    feedForward: { activation: 'silu', form: 'gated' },
  };
}

export function llamaLikeToMetadata(spec: UniformSpec): Map<string, GgufValue> {
  onlyActivation(spec, 'silu');
  return new Map([
    ...writeGgufSizes(spec),
    ['attention.layer_norm_rms_epsilon', ggufNumber(spec.norm.epsilon)],
    ...ggufRope(spec),
  ]);
}

/** Returns how a GGUF stores queries and keys, which llama.cpp rotates by neighbouring pairs, or null for other tensors. */
export function llamaLayout({ role, layer }: ModelTensor, { blocks }: DecoderSpec): Layout | null {
  if (role !== 'attn_q' && role !== 'attn_k') return null;
  const { heads, keyValueHeads } = attentionOf(blocks[layer!]!);
  return interleavedRows(role === 'attn_q' ? heads : keyValueHeads);
}
