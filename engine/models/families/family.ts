/** Defines what every family declares, and reads what most families declare alike. */
import type { GgufValue } from '../../formats/gguf.ts';
import type { Activation } from '../feed-forward/dense.ts';
import type { Layout } from '../layout.ts';
import type { DecoderSpec, ModelTensor, RopeScaling, RopeSpec } from '../spec.ts';
import type { ConfigReader, MetadataReader } from './reading.ts';

export interface Family {
  /** Reads config.json. Every field it reads changes the computation, and has transformers' default where it is left out. */
  fromConfig(config: ConfigReader): DecoderSpec;
  /** Returns the config.json of a model that came from a GGUF, with the fields that `fromConfig` reads. */
  toConfig(spec: DecoderSpec): Record<string, unknown>;
  /** Returns how the hub's files store a tensor, or null where that is the layout of the model. */
  hubLayout?(tensor: ModelTensor): Layout | null;
  /** Returns another name of a tensor in hub folders; prefixes of all names are handled for every family. */
  hubAlias?(name: string): string;
  /** Matches stored tensors that belong to no weight, such as buffers of older files. */
  readonly unusedTensors?: RegExp;
  /** Matches stored tensors of other modalities. */
  readonly otherParts?: RegExp;
  /**
   * Returns the names of several tensors of the hub's files that, one after another, make up this one (a norm for each head),
   * or null where it is one tensor.
   */
  hubParts?(tensor: ModelTensor): readonly string[] | null;
  /** Holds the family in GGUF, or null where llama.cpp does not know it. */
  readonly gguf: GgufFamily | null;
}

export interface GgufFamily {
  /** Gives the value of `general.architecture`. */
  readonly architecture: string;
  fromMetadata(metadata: MetadataReader, facts: GgufFacts): DecoderSpec;
  /**
   * Returns the metadata that `fromMetadata` reads, as llama.cpp's converter writes it, with keys without the architecture's
   * prefix.
   */
  toMetadata(spec: DecoderSpec): ReadonlyMap<string, GgufValue>;
  layout?(tensor: ModelTensor, spec: DecoderSpec): Layout | null;
}

/** Holds the facts that a GGUF's weights tell and its metadata does not. */
export interface GgufFacts {
  shape(name: string): readonly number[] | null;
  /** Lists the divisors of the rotary frequencies in `rope_freqs.weight`, or null without that tensor. */
  readonly ropeFactors: readonly number[] | null;
  /** Lists the divisors in `rope_factors_short.weight` and `rope_factors_long.weight`, or null without them. */
  readonly longropeFactors: { readonly short: readonly number[]; readonly long: readonly number[] } | null;
}

/** Holds the activations by their names in transformers' ACT2FN. */
const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
};

export function readActivation(config: ConfigReader, key: string, fallback: string): Activation {
  const name = config.text(key, fallback);
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (activation === undefined) throw config.unsupported(key, name);
  return activation;
}

/** Holds the name that is written for each activation, one of transformers'. */
export const activationNames: Readonly<Record<Activation, string>> = {
  silu: 'silu',
  gelu: 'gelu',
  gelu_tanh: 'gelu_pytorch_tanh',
  relu: 'relu',
};

export interface RopeDefaults {
  readonly theta: number;
  readonly headDim: number;
  /** Gives the usual share of a head that is rotated, up to 1. It is left out where the family always rotates all of it. */
  readonly partial?: number | undefined;
  readonly interleaved?: boolean;
  /** Gives the value of `max_position_embeddings`, from which scalings count where they do not say. */
  readonly contextLength: number;
  /** Gives the trained context length, which overrides the one among the rotary parameters. */
  readonly originalContextLength?: number | undefined;
  /** Holds the current names of the kinds of scaling, by older names. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/**
 * Reads a rotary embedding in its old form, `rope_theta`, `partial_rotary_factor` and `rope_scaling` (kind in `type` or
 * `rope_type`), or in its new form, with everything in `rope_parameters`.
 */
export function readRope(config: ConfigReader, defaults: RopeDefaults): RopeSpec {
  const theta = config.number('rope_theta', defaults.theta);
  const partial = readPartial(config, defaults.partial);
  const original = config.count('original_max_position_embeddings', defaults.originalContextLength ?? 0);
  return readRopeParameters(ropeParameters(config), {
    ...defaults,
    theta,
    partial,
    originalContextLength: original || undefined,
  });
}

/** Returns the reader of the rotary parameters. A `rope_scaling` that is not empty replaces `rope_parameters`. */
export function ropeParameters(config: ConfigReader, usual?: Readonly<Record<string, unknown>>): ConfigReader | null {
  const newer = config.object('rope_parameters', usual);
  const older = config.object('rope_scaling');
  return older === null || older.isEmpty ? newer : older;
}

/**
 * Returns the reader of `rope_scaling` in a family that scales each kind of layer on its own; transformers 5 ignores its kind
 * under the oldest name.
 */
export function olderScaling(config: ConfigReader): ConfigReader | null {
  const scaling = config.object('rope_scaling');
  const oldest = scaling?.optional('type');
  if (oldest !== undefined && scaling?.optional('rope_type') === undefined)
    throw config.unsupported('rope_scaling.type', oldest);
  return scaling;
}

/** Reads one set of `rope_parameters`. */
export function readRopeParameters(parameters: ConfigReader | null, defaults: RopeDefaults): RopeSpec {
  const { headDim, interleaved = false } = defaults;
  const rope = (theta: number, partial: number | undefined, scaling: RopeScaling): RopeSpec => ({
    theta,
    dimension: Math.trunc(headDim * (partial ?? 1)),
    interleaved,
    scaling,
  });
  if (parameters === null) return rope(defaults.theta, defaults.partial, { kind: 'none' });
  const theta = parameters.number('rope_theta', defaults.theta);
  const partial = readPartial(parameters, defaults.partial);
  const scaling = readScaling(parameters, defaults);
  parameters.refuseUnread();
  return rope(theta, partial, scaling);
}

function readPartial(config: ConfigReader, usual: number | undefined): number | undefined {
  if (usual !== undefined) return config.number('partial_rotary_factor', usual);
  config.require('partial_rotary_factor', 1);
  return undefined;
}

/** Reads the parameters of a scaling, as modeling_rope_utils.py in transformers does, with its defaults. */
function readScaling(parameters: ConfigReader, defaults: RopeDefaults): RopeScaling {
  const { contextLength, originalContextLength, aliases = {} } = defaults;
  const named = parameters.text('rope_type', parameters.text('type', 'default'));
  const kind = aliases[named] ?? named;
  const stated = parameters.number('original_max_position_embeddings', contextLength);
  const original = originalContextLength ?? stated;
  switch (kind) {
    case 'default':
      return { kind: 'none' };
    case 'linear':
      return { kind: 'linear', factor: parameters.number('factor') };
    case 'dynamic': {
      const factor = parameters.number('factor');
      parameters.note(
        `The rotary embedding is scaled dynamically (factor ${factor}): this only acts on rows longer than the ${contextLength} tokens the model was trained for, on each by its length; a GGUF does not carry it.`,
      );
      return { kind: 'dynamic', factor, contextLength };
    }
    case 'llama3':
      return {
        kind: 'llama3',
        factor: parameters.number('factor'),
        lowFrequencyFactor: parameters.number('low_freq_factor'),
        highFrequencyFactor: parameters.number('high_freq_factor'),
        originalContextLength: original,
      };
    case 'longrope': {
      const shortFactors = parameters.numbers('short_factor');
      const longFactors = parameters.numbers('long_factor');
      if (shortFactors === null || longFactors === null) throw parameters.unsupported('rope_type', 'longrope without factors');
      const factor = parameters.number('factor', contextLength / original);
      const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
      return {
        kind: 'longrope',
        shortFactors,
        longFactors,
        originalContextLength: original,
        attentionFactor: parameters.number('attention_factor', usual),
      };
    }
    case 'yarn': {
      const factor = parameters.number('factor', contextLength / original);
      const mscale = parameters.number('mscale', 0);
      const mscaleAll = parameters.number('mscale_all_dim', 0);
      const usual =
        mscale !== 0 && mscaleAll !== 0 ? yarnGrowth(factor, mscale) / yarnGrowth(factor, mscaleAll) : yarnGrowth(factor, 1);
      return {
        kind: 'yarn',
        factor,
        betaFast: parameters.number('beta_fast', 32),
        betaSlow: parameters.number('beta_slow', 1),
        originalContextLength: original,
        attentionFactor: parameters.number('attention_factor', usual),
        truncate: parameters.flag('truncate', true),
      };
    }
    default:
      throw parameters.unsupported('rope_type', named);
  }
}

/** Returns the factor by which YaRN scales cos and sin for a context that is longer by `factor`. */
export function yarnGrowth(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
