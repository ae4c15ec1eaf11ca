/**
 * Defines Cohere's Command R and its successors: transformers' CohereConfig and Cohere2Config, llama.cpp's LLM_ARCH_COMMAND_R
 * and COHERE2.
 */
import type { GgufValue } from '../../formats/gguf.ts';
import type { LinearRole, NormSpec } from '../parts.ts';
import { activationNames, readActivation, readRope } from './family.ts';
import { ggufBiases } from './gguf.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import type { ConfigReader } from './reading.ts';
import { readGgufSizes, readSizes, sizesToConfig, writeGgufSizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type Reach, type UniformSpec } from './uniform.ts';
import { readWindows } from './windows.ts';
import { ggufCount, ggufNumber, ggufText, ropeScalingToConfig } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];

/** Holds the module names of blocks with one norm for both attention and feed-forward. */
const { ffn_norm: _second, ...oneNorm } = llamaModules.block;
const modules: ModuleNames = { ...llamaModules, block: oneNorm };
const normedModules: ModuleNames = {
  ...modules,
  block: { ...oneNorm, attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' },
};

export const cohere = uniformFamily({
  fromConfig(config) {
    const shared = readShared(config, 500_000);
    const usesNorm = config.flag('use_qk_norm', false);
    return {
      ...shared,
      family: 'cohere',
      modules: usesNorm ? normedModules : modules,
      blocks: sameBlocks(shared.layers, block(shared.headDim)),
      queryKeyNorm: usesNorm ? { over: 'own-head', norm: shared.norm } : null,
    };
  },
  toConfig: (spec) => ({
    architectures: ['CohereForCausalLM'],
    model_type: 'cohere',
    ...sharedToConfig(spec),
    use_qk_norm: spec.queryKeyNorm !== null,
  }),
  gguf: {
    architecture: 'command-r',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      metadata.require('rope.dimension_count', sizes.headDim);
      const kind = metadata.text('rope.scaling.type', 'none');
      if (kind !== 'none') throw metadata.unsupported('rope.scaling.type', kind);
      const own = norm(metadata.number('attention.layer_norm_epsilon'));
      const usesNorm = facts.shape('blk.0.attn_q_norm.weight') !== null;
      return {
        ...usualSpec,
        ...sizes,
        family: 'cohere',
        modules: usesNorm ? normedModules : modules,
        norm: own,
        biases: ggufBiases(facts),
        blocks: sameBlocks(sizes.layers, block(sizes.headDim)),
        ropes: [neighbours(metadata.number('rope.freq_base', 10000), sizes.headDim)],
        queryKeyNorm: usesNorm ? { over: 'own-head', norm: own } : null,
        parallel: true,
        feedForward: { activation: 'silu', form: 'gated' },
        head: { bias: false, scale: metadata.number('logit_scale'), cap: null },
      };
    },
    toMetadata: (spec) => new Map(writeGguf(spec)),
  },
});

export const cohere2 = uniformFamily({
  fromConfig(config) {
    const shared = readShared(config, 10_000);
    const pattern = config.count('sliding_window_pattern', config.count('_sliding_window_pattern', 4));
    const windows = readWindows(
      config,
      shared.layers,
      config.numberOrNull('sliding_window', 4096),
      (layer) => (layer + 1) % pattern !== 0,
    );
    // These are notes of the training framework that transformers does not read.
    config.ignore(
      'rotary_pct',
      'cache_implementation',
      'order_of_interleaved_layers',
      'position_embedding_type',
      'use_embedding_sharing',
    );
    config.ignore('use_gated_activation', 'use_parallel_block', 'use_parallel_embedding', 'use_qk_norm', 'layer_switch');
    return { ...shared, family: 'cohere2', modules, blocks: slidingBlocks(shared.headDim, windows) };
  },
  toConfig: (spec) => ({
    architectures: ['Cohere2ForCausalLM'],
    model_type: 'cohere2',
    ...sharedToConfig(spec),
    sliding_window: windowOf(spec),
    layer_types: spec.blocks.map(({ window }) => (window === null ? 'full_attention' : 'sliding_attention')),
  }),
  gguf: {
    architecture: 'cohere2',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      metadata.require('rope.dimension_count', sizes.headDim);
      const kind = metadata.text('rope.scaling.type', 'none');
      if (kind !== 'none') throw metadata.unsupported('rope.scaling.type', kind);
      const window = metadata.number('attention.sliding_window');
      const windows = Array.from({ length: sizes.layers }, (_, layer) => ((layer + 1) % 4 === 0 ? null : window));
      return {
        ...usualSpec,
        ...sizes,
        family: 'cohere2',
        modules,
        norm: norm(metadata.number('attention.layer_norm_epsilon')),
        biases: ggufBiases(facts),
        blocks: slidingBlocks(sizes.headDim, windows),
        ropes: [neighbours(metadata.number('rope.freq_base', 10000), sizes.headDim)],
        parallel: true,
        feedForward: { activation: 'silu', form: 'gated' },
        head: { bias: false, scale: metadata.number('logit_scale'), cap: null },
      };
    },
    toMetadata: (spec) =>
      new Map([...writeGguf(spec), ['attention.sliding_window', ggufCount(windowOf(spec) ?? spec.contextLength)]]),
  },
});

function readShared(config: ConfigReader, defaultTheta: number) {
  const sizes = readSizes(config, {
    hiddenSize: 8192,
    intermediateSize: 22528,
    layers: 40,
    heads: 64,
    keyValueHeads: null,
    vocabularySize: 256_000,
    contextLength: 8192,
    tiedEmbeddings: true,
  });
  const { headDim, contextLength } = sizes;
  return {
    ...usualSpec,
    ...sizes,
    norm: norm(config.number('layer_norm_eps', 1e-5)),
    biases: config.flag('attention_bias', false) ? attention : [],
    ropes: [readRope(config, { theta: defaultTheta, headDim, contextLength, interleaved: true })],
    parallel: true,
    feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), form: 'gated' },
    head: { bias: false, scale: config.number('logit_scale', 0.0625), cap: null },
  } as const;
}

function sharedToConfig(spec: UniformSpec): Record<string, unknown> {
  const { head_dim: _, ...sizes } = sizesToConfig(spec);
  return {
    ...sizes,
    layer_norm_eps: spec.norm.epsilon,
    attention_bias: spec.biases.length > 0,
    hidden_act: activationNames[spec.feedForward.activation],
    logit_scale: spec.head.scale,
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
  };
}

function writeGguf(spec: UniformSpec): [string, GgufValue][] {
  return [
    ...writeGgufSizes(spec),
    ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
    ['logit_scale', ggufNumber(spec.head.scale)],
    ['rope.freq_base', ggufNumber(spec.ropes[0]!.theta)],
    ['rope.dimension_count', ggufCount(spec.ropes[0]!.dimension)],
    ['rope.scaling.type', ggufText('none')],
  ];
}

function block(headDim: number): Reach {
  return { window: null, rope: 0, scoreScale: 1 / Math.sqrt(headDim) };
}

/** Returns the reach of the blocks, of which only those with a window have a rotary embedding. */
function slidingBlocks(headDim: number, windows: readonly (number | null)[]): Reach[] {
  return windows.map((window) => ({ ...block(headDim), window, rope: window === null ? null : 0 }));
}

function windowOf({ blocks }: UniformSpec): number | null {
  return blocks.find(({ window }) => window !== null)?.window ?? null;
}

function neighbours(theta: number, dimension: number): UniformSpec['ropes'][number] {
  return { theta, dimension, interleaved: true, scaling: { kind: 'none' } };
}

function norm(epsilon: number): NormSpec {
  return { kind: 'layer', epsilon, weight: 'plain', bias: false };
}
