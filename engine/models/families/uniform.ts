/**
 * Describes a model as most configs do: with one size for all blocks, which differ only in window, rope and scale of their
 * attention.
 */
import type { GgufValue } from '../../formats/gguf.ts';
import { assert } from '../../problem.ts';
import type { Dense } from '../feed-forward/dense.ts';
import type { Attention } from '../mixers/attention.ts';
import { attentionOf } from '../mixers/index.ts';
import type { LinearRole } from '../parts.ts';
import type { BlockSpec, DecoderSpec } from '../spec.ts';
import type { Family, GgufFacts, GgufFamily } from './family.ts';
import type { ModuleNames } from './names.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';

export interface UniformSpec extends Omit<DecoderSpec, 'modules' | 'blocks'> {
  readonly modules: ModuleNames;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Lists the roles of the linear layers that have a bias. */
  readonly biases: readonly LinearRole[];
  readonly blocks: readonly Reach[];
  readonly scoreCap: number | null;
  readonly clip: number | null;
  readonly queryKeyNorm: Attention['queryKeyNorm'];
  /** Gives the order of the rows of `attn_qkv`, for a family that has it. */
  readonly fusedLayout: 'by-kind' | 'by-head';
  /** Says whether attention and feed-forward both read the block's input, and both are added to it. */
  readonly parallel: boolean;
  readonly residualScale: number;
  readonly feedForward: Pick<Dense, 'activation' | 'form'>;
}

/** Says how the attention of one block reaches the tokens before it. */
export type Reach = Pick<Attention, 'window' | 'rope' | 'scoreScale'>;

/** Holds the values that most families share; a family states those that differ. */
export const usualSpec = {
  embeddingScale: 1,
  learnedPositions: null,
  queryGrowth: null,
  scoreCap: null,
  clip: null,
  queryKeyNorm: null,
  fusedLayout: 'by-kind',
  parallel: false,
  residualScale: 1,
  head: { bias: false, scale: 1, cap: null },
} as const satisfies Partial<UniformSpec>;

/** Returns the same reach for every block. */
export function sameBlocks(layers: number, block: Reach): Reach[] {
  return Array.from({ length: layers }, () => block);
}

/** Describes a family whose configs state one size for all blocks. */
export interface UniformFamily extends Omit<Family, 'fromConfig' | 'toConfig' | 'gguf'> {
  fromConfig(config: ConfigReader): UniformSpec;
  toConfig(spec: UniformSpec): Record<string, unknown>;
  readonly gguf: UniformGguf | null;
}

export interface UniformGguf extends Omit<GgufFamily, 'fromMetadata' | 'toMetadata'> {
  fromMetadata(metadata: MetadataReader, facts: GgufFacts): UniformSpec;
  toMetadata(spec: UniformSpec): ReadonlyMap<string, GgufValue>;
}

export function uniformFamily(family: UniformFamily): Family {
  const { gguf } = family;
  return {
    ...family,
    fromConfig: (config) => decoderSpec(family.fromConfig(config)),
    toConfig: (spec) => family.toConfig(uniformSpec(spec)),
    gguf: gguf && {
      ...gguf,
      fromMetadata: (metadata, facts) => decoderSpec(gguf.fromMetadata(metadata, facts)),
      toMetadata: (spec) => gguf.toMetadata(uniformSpec(spec)),
    },
  };
}

export function decoderSpec(uniform: UniformSpec): DecoderSpec {
  const { family, hiddenSize, vocabularySize, contextLength, embeddingScale, learnedPositions } = uniform;
  const { ropes, queryGrowth, norm, tiedEmbeddings, head } = uniform;
  const { heads, keyValueHeads, headDim, scoreCap, clip, queryKeyNorm, fusedLayout } = uniform;
  const { biases, parallel, residualScale, intermediateSize, feedForward } = uniform;
  const { block: names, ...modules } = uniform.modules;
  const fused = names.attn_qkv === undefined ? null : fusedLayout;
  const blocks = uniform.blocks.map((reach): BlockSpec => ({
    mixer: { kind: 'attention', heads, keyValueHeads, headDim, fused, ...reach, scoreCap, clip, queryKeyNorm },
    feedForward: { kind: 'dense', intermediateSize, ...feedForward },
    norm,
    wiring: { order: parallel ? 'parallel' : 'sequential', residualScale },
    names,
    biases,
  }));
  return {
    ...{ family, modules, hiddenSize, vocabularySize, contextLength, embeddingScale, learnedPositions },
    ...{ blocks, ropes, queryGrowth, norm, tiedEmbeddings, head },
  };
}

/** Returns the sizes that all blocks of a model share, as they came out of such a config. */
function uniformSpec({ modules, blocks, ...outer }: DecoderSpec): UniformSpec {
  const [first] = blocks;
  assert(first !== undefined, 'a model without blocks');
  const { mixer, feedForward, names, biases, wiring } = first;
  assert(mixer.kind === 'attention' && feedForward.kind === 'dense', 'the blocks are not of the usual kinds');
  const { kind: _, fused, window: __, rope: ___, scoreScale: ____, ...attention } = mixer;
  const { intermediateSize, activation, form } = feedForward;
  return {
    ...outer,
    ...attention,
    ...{ intermediateSize, biases, layers: blocks.length },
    modules: { ...modules, block: names },
    blocks: blocks.map((block) => {
      const { window, rope, scoreScale } = attentionOf(block);
      return { window, rope, scoreScale };
    }),
    fusedLayout: fused ?? 'by-kind',
    parallel: wiring.order === 'parallel',
    residualScale: wiring.residualScale,
    feedForward: { activation, form },
  };
}
