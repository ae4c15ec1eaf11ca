/** Defines OLMo, OLMo 2 and OLMo 3: transformers' configs with their defaults, llama.cpp's LLM_ARCH_OLMO and OLMO2. */
import type { GgufValue } from '../../formats/gguf.ts';
import type { LinearRole, NormSpec } from '../parts.ts';
import type { RopeSpec } from '../spec.ts';
import { activationNames, olderScaling, readActivation, readRope, readRopeParameters } from './family.ts';
import { llamaLayout } from './llama.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import type { ConfigReader } from './reading.ts';
import { readGgufSizes, readSizes, sizesToConfig, writeGgufSizes } from './sizes.ts';
import { sameBlocks, uniformFamily, usualSpec, type Reach, type UniformGguf, type UniformSpec } from './uniform.ts';
import { readWindows } from './windows.ts';
import { ggufCount, ggufNumber, ggufText, ropeScalingToConfig } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];

/** The norms come after attention and feed-forward, and over all queries and all keys. */
const { attn_norm: _before, ffn_norm: _between, ...afterwards } = llamaModules.block;
const olmo2Modules: ModuleNames = {
  ...llamaModules,
  block: {
    ...afterwards,
    attn_q_norm: 'self_attn.q_norm',
    attn_k_norm: 'self_attn.k_norm',
    post_attention_norm: 'post_attention_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
};

/** The norm of OLMo has neither a weight nor a bias. */
const olmoNorm: NormSpec = { kind: 'layer', epsilon: 1e-5, weight: 'none', bias: false };

export const olmo = uniformFamily({
  fromConfig(config) {
    const sizes = readOlmoSizes(config);
    return {
      ...usualSpec,
      ...sizes,
      family: 'olmo',
      modules: llamaModules,
      norm: olmoNorm,
      blocks: blocks(sizes),
      ropes: [readRope(config, { theta: 10000, headDim: sizes.headDim, contextLength: sizes.contextLength })],
      clip: config.numberOrNull('clip_qkv', null),
    };
  },
  toConfig: (spec) => ({
    architectures: ['OlmoForCausalLM'],
    model_type: 'olmo',
    ...olmoSizesToConfig(spec),
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
    clip_qkv: spec.clip,
  }),
  gguf: {
    architecture: 'olmo',
    fromMetadata(metadata, facts) {
      const sizes = readGgufSizes(metadata, facts);
      metadata.require('rope.dimension_count', sizes.headDim);
      const clip = metadata.number('attention.clamp_kqv', 0);
      return {
        ...usualSpec,
        ...sizes,
        family: 'olmo',
        modules: llamaModules,
        norm: { ...olmoNorm, epsilon: metadata.number('attention.layer_norm_epsilon') },
        biases: [],
        blocks: blocks(sizes),
        ropes: [
          {
            theta: metadata.number('rope.freq_base', 10000),
            dimension: sizes.headDim,
            interleaved: false,
            scaling: { kind: 'none' },
          },
        ],
        clip: clip === 0 ? null : clip,
        feedForward: { activation: 'silu', form: 'gated' },
      };
    },
    toMetadata: (spec) =>
      new Map([
        ...writeGgufSizes(spec),
        ['attention.layer_norm_epsilon', ggufNumber(spec.norm.epsilon)],
        ['rope.freq_base', ggufNumber(spec.ropes[0]!.theta)],
        ['rope.dimension_count', ggufCount(spec.ropes[0]!.dimension)],
        ...(spec.clip === null ? [] : ([['attention.clamp_kqv', ggufNumber(spec.clip)]] as const)),
      ]),
    layout: llamaLayout,
  },
});

const olmo2Gguf: UniformGguf = {
  architecture: 'olmo2',
  /** Reads OLMo 2 and OLMo 3, which are one architecture in llama.cpp; only files of OLMo 3 name a window. */
  fromMetadata(metadata, facts) {
    const sizes = readGgufSizes(metadata, facts);
    metadata.require('rope.dimension_count', sizes.headDim);
    metadata.ignore('rope.scaling.original_context_length', 'rope.scaling.finetuned');
    const window = metadata.number('attention.sliding_window', 0);
    const pattern = metadata.flags('attention.sliding_window_pattern', sizes.layers);
    const theta = metadata.number('rope.freq_base', 10000);
    const kind = metadata.text('rope.scaling.type', 'none');
    if (kind !== 'none') throw metadata.unsupported('rope.scaling.type', kind);
    const rope = (base: number): RopeSpec => ({
      theta: base,
      dimension: sizes.headDim,
      interleaved: false,
      scaling: { kind: 'none' },
    });
    const norm = rms(metadata.number('attention.layer_norm_rms_epsilon'));
    const own = window === 0 ? null : window;
    return {
      ...usualSpec,
      ...sizes,
      family: own === null ? 'olmo2' : 'olmo3',
      modules: olmo2Modules,
      norm,
      biases: [],
      blocks: blocks(sizes).map((block, layer) => {
        const slides = own !== null && (pattern?.[layer] ?? (layer + 1) % 4 !== 0);
        return slides ? { ...block, window: own, rope: 1 } : block;
      }),
      ropes: own === null ? [rope(theta)] : [rope(theta), rope(metadata.number('rope.freq_base_swa', theta))],
      queryKeyNorm: { over: 'all-heads', norm },
      feedForward: { activation: 'silu', form: 'gated' },
    };
  },
  toMetadata,
};

export const olmo2 = uniformFamily({
  fromConfig(config) {
    const sizes = readOlmoSizes(config);
    const norm = rms(config.number('rms_norm_eps', 1e-5));
    return {
      ...usualSpec,
      ...sizes,
      family: 'olmo2',
      modules: olmo2Modules,
      norm,
      blocks: blocks(sizes),
      ropes: [readRope(config, { theta: 10000, headDim: sizes.headDim, contextLength: sizes.contextLength })],
      queryKeyNorm: { over: 'all-heads', norm },
    };
  },
  toConfig: (spec) => ({
    architectures: ['Olmo2ForCausalLM'],
    model_type: 'olmo2',
    ...olmoSizesToConfig(spec),
    rms_norm_eps: spec.norm.epsilon,
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
  }),
  gguf: olmo2Gguf,
});

export const olmo3 = uniformFamily({
  fromConfig(config) {
    const sizes = readOlmoSizes(config);
    const { headDim, contextLength } = sizes;
    const norm = rms(config.number('rms_norm_eps', 1e-5));
    const windows = readWindows(
      config,
      sizes.layers,
      config.numberOrNull('sliding_window', 4096),
      (layer) => (layer + 1) % 4 !== 0,
    );
    const usual = { theta: 500_000, headDim, contextLength };
    const parameters = config.object('rope_parameters');
    const scaling = olderScaling(config);
    // Base and scaling of the older form are for the layers that see everything; transformers gives the others its default.
    const ropes = [
      readRopeParameters(parameters?.object('full_attention') ?? scaling, {
        ...usual,
        theta: config.number('rope_theta', usual.theta),
      }),
      readRopeParameters(parameters?.object('sliding_attention') ?? null, usual),
    ];
    parameters?.refuseUnread();
    return {
      ...usualSpec,
      ...sizes,
      family: 'olmo3',
      modules: olmo2Modules,
      norm,
      blocks: blocks(sizes).map((block, layer) =>
        windows[layer] === null ? block : { ...block, window: windows[layer]!, rope: 1 },
      ),
      ropes,
      queryKeyNorm: { over: 'all-heads', norm },
    };
  },
  toConfig: (spec) => ({
    architectures: ['Olmo3ForCausalLM'],
    model_type: 'olmo3',
    ...olmoSizesToConfig(spec),
    rms_norm_eps: spec.norm.epsilon,
    sliding_window: spec.blocks.find(({ window }) => window !== null)?.window ?? null,
    layer_types: spec.blocks.map(({ window }) => (window === null ? 'full_attention' : 'sliding_attention')),
    rope_parameters: {
      full_attention: { rope_type: 'default', ...ropeScalingToConfig(spec.ropes[0]!), rope_theta: spec.ropes[0]!.theta },
      sliding_attention: { rope_type: 'default', ...ropeScalingToConfig(spec.ropes[1]!), rope_theta: spec.ropes[1]!.theta },
    },
  }),
  gguf: olmo2Gguf,
});

function toMetadata(spec: UniformSpec): Map<string, GgufValue> {
  const [global, local] = spec.ropes;
  const window = spec.blocks.find((block) => block.window !== null)?.window ?? null;
  return new Map([
    ...writeGgufSizes(spec),
    ['attention.layer_norm_rms_epsilon', ggufNumber(spec.norm.epsilon)],
    ['rope.freq_base', ggufNumber(global!.theta)],
    ['rope.dimension_count', ggufCount(global!.dimension)],
    ...(global!.scaling.kind === 'linear'
      ? ([
          ['rope.scaling.type', ggufText('linear')],
          ['rope.scaling.factor', ggufNumber(global!.scaling.factor)],
        ] as const)
      : []),
    ...(window === null
      ? []
      : ([
          ['rope.freq_base_swa', ggufNumber(local!.theta)],
          ['attention.sliding_window', ggufCount(window)],
          [
            'attention.sliding_window_pattern',
            { type: 'array', of: 'bool', value: spec.blocks.map((block) => block.window !== null) },
          ],
        ] as const)),
  ]);
}

function readOlmoSizes(config: ConfigReader) {
  const sizes = readSizes(config, {
    hiddenSize: 4096,
    intermediateSize: 11008,
    layers: 32,
    heads: 32,
    keyValueHeads: null,
    vocabularySize: 50304,
    contextLength: 2048,
    tiedEmbeddings: false,
  });
  return {
    ...sizes,
    biases: config.flag('attention_bias', false) ? attention : [],
    feedForward: { activation: readActivation(config, 'hidden_act', 'silu'), form: 'gated' },
  } as const;
}

function olmoSizesToConfig(spec: UniformSpec): Record<string, unknown> {
  const { head_dim: _, ...sizes } = sizesToConfig(spec);
  return {
    ...sizes,
    attention_bias: spec.biases.length > 0,
    hidden_act: activationNames[spec.feedForward.activation],
  };
}

function blocks({ layers, headDim }: { readonly layers: number; readonly headDim: number }): Reach[] {
  return sameBlocks(layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(headDim) });
}

function rms(epsilon: number): NormSpec {
  return { kind: 'rms', epsilon, weight: 'plain', bias: false };
}
