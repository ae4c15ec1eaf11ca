/**
 * Defines Gemma, Gemma 2 and Gemma 3: transformers' configs with their defaults, llama.cpp's LLM_ARCH_GEMMA, GEMMA2 and GEMMA3.
 */
import type { Family } from './family.ts';
import type { GgufValue } from '../../formats/gguf.ts';
import type { Activation } from '../feed-forward/dense.ts';
import { plusOne, type Layout } from '../layout.ts';
import type { LinearRole, NormSpec } from '../parts.ts';
import type { ModelTensor } from '../spec.ts';
import { activationNames, olderScaling, readActivation, readRope, readRopeParameters, type GgufFacts } from './family.ts';
import { llamaModules, type ModuleNames } from './names.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';
import { readGgufSizes, readSizes, sizesToConfig, writeGgufSizes, type SizeDefaults } from './sizes.ts';
import { readTextPart, textPart } from './text-part.ts';
import { sameBlocks, uniformFamily, usualSpec, type UniformSpec } from './uniform.ts';
import { readWindows } from './windows.ts';
import { ggufCount, ggufNumber, ggufText, ropeScalingToConfig } from './writing.ts';

const attention: readonly LinearRole[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];

const sandwichModules: ModuleNames = {
  ...llamaModules,
  block: {
    ...llamaModules.block,
    post_attention_norm: 'post_attention_layernorm',
    ffn_norm: 'pre_feedforward_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
};
const gemma3Modules: ModuleNames = {
  ...sandwichModules,
  block: { ...sandwichModules.block, attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' },
};

export const gemma = uniformFamily({
  fromConfig(config) {
    const sizes = readGemmaSizes(config, {
      hiddenSize: 3072,
      intermediateSize: 24576,
      layers: 28,
      heads: 16,
      keyValueHeads: 16,
      contextLength: 8192,
    });
    const activation = readGemmaActivation(config);
    return {
      ...usualSpec,
      ...sizes,
      family: 'gemma',
      modules: llamaModules,
      embeddingScale: embeddingScale(sizes.hiddenSize),
      blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
      ropes: [readRope(config, { theta: 10000, headDim: sizes.headDim, contextLength: sizes.contextLength })],
      feedForward: { activation, form: 'gated' },
    };
  },
  toConfig: (spec) => ({
    architectures: ['GemmaForCausalLM'],
    model_type: 'gemma',
    hidden_act: activationNames[spec.feedForward.activation],
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
    ...gemmaSizesToConfig(spec),
  }),
  gguf: {
    architecture: 'gemma',
    fromMetadata(metadata, facts) {
      const sizes = readGguf(metadata, facts);
      return {
        ...usualSpec,
        ...sizes,
        family: 'gemma',
        modules: llamaModules,
        embeddingScale: embeddingScale(sizes.hiddenSize),
        blocks: sameBlocks(sizes.layers, { window: null, rope: 0, scoreScale: 1 / Math.sqrt(sizes.headDim) }),
        ropes: [plainRope(metadata.number('rope.freq_base', 10000), sizes.headDim)],
        feedForward: { activation: 'gelu_tanh', form: 'gated' },
      };
    },
    toMetadata: (spec) => new Map(writeGguf(spec)),
    layout: normLayout,
  },
});

export const gemma2 = uniformFamily({
  fromConfig(config) {
    const sizes = readGemmaSizes(config, {
      hiddenSize: 2304,
      intermediateSize: 9216,
      layers: 26,
      heads: 8,
      keyValueHeads: 4,
      contextLength: 8192,
    });
    const windows = readWindows(config, sizes.layers, config.numberOrNull('sliding_window', 4096), (layer) => layer % 2 === 0);
    const scoreScale = 1 / Math.sqrt(config.number('query_pre_attn_scalar', 256));
    // These repeat the same under other names, which transformers does not read.
    config.ignore('hidden_act', 'sliding_window_size');
    return {
      ...usualSpec,
      ...sizes,
      family: 'gemma2',
      modules: sandwichModules,
      embeddingScale: embeddingScale(sizes.hiddenSize),
      blocks: windows.map((window) => ({ window, rope: 0, scoreScale })),
      ropes: [readRope(config, { theta: 10000, headDim: sizes.headDim, contextLength: sizes.contextLength })],
      scoreCap: config.numberOrNull('attn_logit_softcapping', 50),
      feedForward: { activation: readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh'), form: 'gated' },
      head: { bias: false, scale: 1, cap: config.numberOrNull('final_logit_softcapping', 30) },
    };
  },
  toConfig: (spec) => ({
    architectures: ['Gemma2ForCausalLM'],
    model_type: 'gemma2',
    rope_theta: spec.ropes[0]!.theta,
    rope_scaling: ropeScalingToConfig(spec.ropes[0]!),
    ...gemmaSizesToConfig(spec),
    ...writeWindowed(spec),
  }),
  gguf: {
    architecture: 'gemma2',
    fromMetadata(metadata, facts) {
      const sizes = readGguf(metadata, facts);
      const scoreScale = ggufScoreScale(metadata, sizes, 46);
      const window = metadata.number('attention.sliding_window', 4096);
      return {
        ...usualSpec,
        ...sizes,
        family: 'gemma2',
        modules: sandwichModules,
        embeddingScale: embeddingScale(sizes.hiddenSize),
        blocks: Array.from({ length: sizes.layers }, (_, layer) => ({
          window: layer % 2 === 0 ? window : null,
          rope: 0,
          scoreScale,
        })),
        ropes: [plainRope(metadata.number('rope.freq_base', 10000), sizes.headDim)],
        scoreCap: metadata.number('attn_logit_softcapping', 50),
        feedForward: { activation: 'gelu_tanh', form: 'gated' },
        head: { bias: false, scale: 1, cap: metadata.number('final_logit_softcapping', 30) },
      };
    },
    toMetadata: (spec) =>
      new Map([
        ...writeGguf(spec),
        ['attn_logit_softcapping', ggufNumber(spec.scoreCap ?? 0)],
        ['final_logit_softcapping', ggufNumber(spec.head.cap ?? 0)],
        ['attention.sliding_window', ggufCount(windowOf(spec) ?? spec.contextLength)],
      ]),
    layout: normLayout,
  },
});

export const gemma3Text = uniformFamily({
  fromConfig: readGemma3,
  toConfig: (spec) => ({
    architectures: ['Gemma3ForCausalLM'],
    model_type: 'gemma3_text',
    ...gemmaSizesToConfig(spec),
    ...writeWindowed(spec),
    rope_parameters: {
      full_attention: { rope_type: 'default', ...ropeScalingToConfig(spec.ropes[0]!), rope_theta: spec.ropes[0]!.theta },
      sliding_attention: { rope_type: 'default', ...ropeScalingToConfig(spec.ropes[1]!), rope_theta: spec.ropes[1]!.theta },
    },
  }),
  gguf: {
    architecture: 'gemma3',
    fromMetadata(metadata, facts) {
      const sizes = readGguf(metadata, facts);
      const scoreScale = ggufScoreScale(metadata, sizes, 62);
      const window = metadata.number('attention.sliding_window', 0);
      const factor = metadata.number('rope.scaling.factor', 1);
      const kind = metadata.text('rope.scaling.type', 'none');
      if (kind !== 'none' && kind !== 'linear') throw metadata.unsupported('rope.scaling.type', kind);
      const global = plainRope(metadata.number('rope.freq_base', 1_000_000), sizes.headDim);
      const cap = metadata.number('final_logit_softcapping', 0);
      return {
        ...usualSpec,
        ...sizes,
        family: 'gemma3_text',
        modules: gemma3Modules,
        embeddingScale: embeddingScale(sizes.hiddenSize),
        blocks: Array.from({ length: sizes.layers }, (_, layer) =>
          (layer + 1) % 6 === 0 || window === 0 ? { window: null, rope: 0, scoreScale } : { window, rope: 1, scoreScale },
        ),
        ropes: [
          kind === 'linear' && factor !== 1 ? { ...global, scaling: { kind, factor } } : global,
          plainRope(metadata.number('rope.freq_base_swa', 10000), sizes.headDim),
        ],
        queryKeyNorm: { over: 'head', norm: sizes.norm },
        feedForward: { activation: 'gelu_tanh', form: 'gated' },
        head: { bias: false, scale: 1, cap: cap === 0 ? null : cap },
      };
    },
    toMetadata(spec) {
      const [global, local] = spec.ropes;
      return new Map([
        ...writeGguf(spec),
        ['rope.freq_base', ggufNumber(global!.theta)],
        ['rope.freq_base_swa', ggufNumber(local!.theta)],
        ...(windowOf(spec) === null ? [] : ([['attention.sliding_window', ggufCount(windowOf(spec)!)]] as const)),
        ...(spec.head.cap === null ? [] : ([['final_logit_softcapping', ggufNumber(spec.head.cap)]] as const)),
        ...(global!.scaling.kind === 'linear'
          ? ([
              ['rope.scaling.type', ggufText('linear')],
              ['rope.scaling.factor', ggufNumber(global!.scaling.factor)],
            ] as const)
          : []),
      ]);
    },
    layout: normLayout,
  },
});

/** Reads the text part of Gemma 3 with a vision tower. */
export const gemma3: Family = {
  ...gemma3Text,
  ...textPart,
  fromConfig(config) {
    config.ignore('mm_tokens_per_image', 'boi_token_index', 'eoi_token_index');
    const spec = readTextPart(config, 'gemma3', { gemma3_text: gemma3Text });
    // llama.cpp caps the logits; transformers does so only in a model without a vision tower.
    if (spec.head.cap !== null) throw config.unsupported('text_config.final_logit_softcapping', spec.head.cap);
    return spec;
  },
};

function readGemma3(config: ConfigReader): UniformSpec {
  const sizes = readGemmaSizes(config, {
    hiddenSize: 2304,
    intermediateSize: 9216,
    layers: 26,
    heads: 8,
    keyValueHeads: 4,
    contextLength: 131_072,
    vocabularySize: 262_208,
  });
  // The pattern is a plain number in the first files; transformers 5 writes it under a name that begins with an underscore.
  const pattern = config.count('sliding_window_pattern', config.count('_sliding_window_pattern', 6));
  const window = config.numberOrNull('sliding_window', 4096);
  const windows = readWindows(config, sizes.layers, window, (layer) => (layer + 1) % pattern !== 0);
  const scoreScale = 1 / Math.sqrt(config.number('query_pre_attn_scalar', 256));
  const { headDim, contextLength } = sizes;
  const parameters = config.object('rope_parameters');
  const scaling = olderScaling(config);
  const global = { theta: config.number('rope_theta', 1_000_000), headDim, contextLength };
  const local = { theta: config.number('rope_local_base_freq', 10000), headDim, contextLength };
  const ropes = [
    readRopeParameters(parameters?.object('full_attention') ?? scaling, global),
    readRopeParameters(parameters?.object('sliding_attention') ?? null, local),
  ];
  parameters?.refuseUnread();
  // Left from Gemma 2's config: the norms of queries and keys stand in its place.
  if (config.numberOrNull('attn_logit_softcapping', null) !== null)
    config.note("'attn_logit_softcapping' is not applied: neither transformers nor llama.cpp does in this family.");
  return {
    ...usualSpec,
    ...sizes,
    family: 'gemma3_text',
    modules: gemma3Modules,
    embeddingScale: embeddingScale(sizes.hiddenSize),
    blocks: windows.map((own) => ({ window: own, rope: own === null ? 0 : 1, scoreScale })),
    ropes,
    queryKeyNorm: { over: 'head', norm: sizes.norm },
    feedForward: { activation: readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh'), form: 'gated' },
    head: { bias: false, scale: 1, cap: config.numberOrNull('final_logit_softcapping', null) },
  };
}

/**
 * Reads the activation. Gemma's first files say gelu and mean its tanh approximation, which transformers corrects too; some
 * have a second field that says the same.
 */
function readGemmaActivation(config: ConfigReader): Activation {
  const [activation, again] = ['hidden_act', 'hidden_activation'].map((key) => {
    const stated = readActivation(config, key, 'gelu_pytorch_tanh');
    return stated === 'gelu' ? 'gelu_tanh' : stated;
  });
  if (config.optional('hidden_activation') !== undefined && again !== activation)
    throw config.unsupported('hidden_activation', config.optional('hidden_activation'));
  return activation!;
}

/** Holds the sizes that all of them share where a config does not say. */
const usualSizes = { headDim: 256, vocabularySize: 256_000, tiedEmbeddings: true };

function readGemmaSizes(config: ConfigReader, usual: Omit<SizeDefaults, keyof typeof usualSizes> & Partial<SizeDefaults>) {
  if (config.flag('use_bidirectional_attention', false)) throw config.unsupported('use_bidirectional_attention', true);
  return {
    ...readSizes(config, { ...usualSizes, ...usual }),
    norm: norm(config.number('rms_norm_eps', 1e-6)),
    biases: config.flag('attention_bias', false) ? attention : [],
  };
}

function gemmaSizesToConfig(spec: UniformSpec): Record<string, unknown> {
  return { ...sizesToConfig(spec), rms_norm_eps: spec.norm.epsilon, attention_bias: spec.biases.length > 0 };
}

function writeWindowed(spec: UniformSpec): Record<string, unknown> {
  return {
    hidden_activation: activationNames[spec.feedForward.activation],
    query_pre_attn_scalar: Math.round(1 / spec.blocks[0]!.scoreScale ** 2),
    sliding_window: windowOf(spec),
    layer_types: spec.blocks.map(({ window }) => (window === null ? 'full_attention' : 'sliding_attention')),
    attn_logit_softcapping: spec.scoreCap,
    final_logit_softcapping: spec.head.cap,
  };
}

function readGguf(metadata: MetadataReader, facts: GgufFacts) {
  const sizes = readGgufSizes(metadata, facts);
  metadata.require('rope.dimension_count', sizes.headDim);
  return { ...sizes, biases: [], norm: norm(metadata.number('attention.layer_norm_rms_epsilon')) };
}

function writeGguf(spec: UniformSpec): [string, GgufValue][] {
  return [...writeGgufSizes(spec), ['attention.layer_norm_rms_epsilon', ggufNumber(spec.norm.epsilon)]];
}

/**
 * Returns the scale of the scores. A GGUF does not carry `query_pre_attn_scalar`: llama.cpp knows that only the largest model
 * of a generation has another one.
 */
function ggufScoreScale(metadata: MetadataReader, sizes: ReturnType<typeof readGguf>, layersOfLargest: number): number {
  const { layers, hiddenSize, heads, headDim } = sizes;
  const scalar = layers === layersOfLargest ? Math.floor(hiddenSize / heads) : headDim;
  metadata.note(
    `A GGUF does not carry 'query_pre_attn_scalar': scores are divided by the root of ${scalar}, as llama.cpp does. The published models have this number.`,
  );
  return 1 / Math.sqrt(scalar);
}

/** Returns the scale of the embedding, which is a float32 in transformers. */
function embeddingScale(hiddenSize: number): number {
  return Math.fround(Math.sqrt(hiddenSize));
}

function norm(epsilon: number): NormSpec {
  return { kind: 'rms', epsilon, weight: 'plusOne', bias: false };
}

function plainRope(theta: number, headDim: number): UniformSpec['ropes'][number] {
  return { theta, dimension: headDim, interleaved: false, scaling: { kind: 'none' } };
}

function windowOf({ blocks }: UniformSpec): number | null {
  return blocks.find(({ window }) => window !== null)?.window ?? null;
}

/** Returns how a GGUF stores a norm: llama.cpp's converter writes the whole factor, one more than the weight. */
function normLayout({ role }: ModelTensor): Layout | null {
  return role.endsWith('_norm') ? plusOne : null;
}
