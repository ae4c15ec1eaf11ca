/** Reads and writes GGUF metadata as llama.cpp does for most architectures, and refuses what llama.cpp cannot compute. */
import type { GgufValue } from '../../formats/gguf.ts';
import { Problem } from '../../problem.ts';
import type { Activation } from '../feed-forward/dense.ts';
import type { LinearRole } from '../parts.ts';
import type { RopeScaling, RopeSpec } from '../spec.ts';
import { activationNames, yarnGrowth, type GgufFacts } from './family.ts';
import type { MetadataReader } from './reading.ts';
import type { UniformSpec } from './uniform.ts';
import { ggufCount, ggufNumber, ggufText } from './writing.ts';

/** Ignores a window, which llama.cpp does not know in most architectures: there every token attends to all before it. */
export function dropGgufWindow(metadata: MetadataReader): void {
  if (!metadata.has('attention.sliding_window')) return;
  const window = metadata.number('attention.sliding_window');
  if (window > 0)
    metadata.note(
      `The file states an attention window of ${window} tokens, which llama.cpp does not use for this architecture. As in llama.cpp, a token attends to all before it.`,
    );
}

export function readGgufRope(metadata: MetadataReader, facts: GgufFacts, headDim: number): RopeSpec {
  return {
    theta: metadata.number('rope.freq_base', 10000),
    dimension: metadata.number('rope.dimension_count', headDim),
    interleaved: false,
    scaling: readGgufScaling(metadata, facts),
  };
}

/** Reads the scaling as llama_context of llama.cpp sets it up. */
function readGgufScaling(metadata: MetadataReader, facts: GgufFacts): RopeScaling {
  metadata.ignore('rope.scaling.finetuned');
  const oldFactor = metadata.number('rope.scale_linear', 1);
  const factor = metadata.number('rope.scaling.factor', oldFactor) || 1;
  const kind = metadata.text('rope.scaling.type', 'linear');
  const originalContextLength = metadata.number('rope.scaling.original_context_length', 0) || metadata.number('context_length');
  const attentionFactor = metadata.number('rope.scaling.attn_factor', 1);
  if (facts.longropeFactors !== null) {
    const { short, long } = facts.longropeFactors;
    return { kind: 'longrope', shortFactors: short, longFactors: long, originalContextLength, attentionFactor };
  }
  if (kind === 'yarn') {
    if (facts.ropeFactors) throw metadata.unsupported('rope.scaling.type', 'yarn together with rope_freqs.weight');
    metadata.require('rope.scaling.yarn_ext_factor', 1);
    // llama.cpp sets the factor anew, whatever the file says.
    metadata.ignore('rope.scaling.yarn_attn_factor');
    const all = metadata.number('rope.scaling.yarn_log_multiplier', 0);
    return {
      kind: 'yarn',
      factor,
      betaFast: metadata.number('rope.scaling.yarn_beta_fast', 32),
      betaSlow: metadata.number('rope.scaling.yarn_beta_slow', 1),
      originalContextLength,
      attentionFactor: (attentionFactor * yarnGrowth(factor, 1)) / (all === 0 ? 1 : yarnGrowth(factor, all)),
      truncate: true,
    };
  }
  if (attentionFactor !== 1) throw metadata.unsupported('rope.scaling.attn_factor', attentionFactor);
  if (kind !== 'none' && kind !== 'linear') throw metadata.unsupported('rope.scaling.type', kind);
  const slower = kind === 'linear' ? factor : 1;
  if (facts.ropeFactors) return { kind: 'factors', factors: facts.ropeFactors.map((divisor) => divisor * slower) };
  return slower === 1 ? { kind: 'none' } : { kind: 'linear', factor: slower };
}

type Entry = readonly [key: string, value: GgufValue];

/** Returns the entries of the first rotary embedding, without divisors, which are written as a tensor. */
export function ggufRope({ ropes: [rope], family }: UniformSpec): Entry[] {
  if (rope === undefined) return [];
  const { theta, dimension, scaling } = rope;
  return [
    ['rope.freq_base', ggufNumber(theta)],
    ['rope.dimension_count', ggufCount(dimension)],
    ...ggufScaling(scaling, family),
  ];
}

function ggufScaling(scaling: RopeScaling, family: string): Entry[] {
  switch (scaling.kind) {
    case 'none':
    case 'dynamic':
    case 'llama3':
    case 'factors':
      return [];
    case 'linear':
      return [
        ['rope.scaling.type', ggufText('linear')],
        ['rope.scaling.factor', ggufNumber(scaling.factor)],
      ];
    case 'longrope':
      return [
        ['rope.scaling.type', ggufText('longrope')],
        ['rope.scaling.original_context_length', ggufCount(scaling.originalContextLength)],
        ['rope.scaling.attn_factor', ggufNumber(scaling.attentionFactor)],
      ];
    case 'yarn': {
      if (!scaling.truncate)
        throw unlikeLlamaCpp(family, 'whose YaRN ramp is not rounded to whole pairs, as llama.cpp always does it');
      const usual = yarnGrowth(scaling.factor, 1);
      return [
        ['rope.scaling.type', ggufText('yarn')],
        ['rope.scaling.factor', ggufNumber(scaling.factor)],
        ['rope.scaling.original_context_length', ggufCount(scaling.originalContextLength)],
        ['rope.scaling.yarn_beta_fast', ggufNumber(scaling.betaFast)],
        ['rope.scaling.yarn_beta_slow', ggufNumber(scaling.betaSlow)],
        ...(scaling.attentionFactor === usual
          ? []
          : [['rope.scaling.attn_factor', ggufNumber(scaling.attentionFactor / usual)] as const]),
      ];
    }
  }
}

/** Returns the error for a model that llama.cpp cannot compute. */
export function unlikeLlamaCpp(family: string, what: string): Problem {
  return new Problem(
    'export-unsupported',
    `llama.cpp cannot run a '${family}' model ${what}, so there is no GGUF of it.`,
    'Export safetensors instead.',
  );
}

/** Refuses an activation other than the one that llama.cpp has for the architecture. */
export function onlyActivation({ family, feedForward }: UniformSpec, own: Activation): void {
  if (feedForward.activation !== own)
    throw unlikeLlamaCpp(family, `with the activation '${activationNames[feedForward.activation]}'`);
}

/** Refuses biases for which llama.cpp has no tensors in the architecture. */
export function onlyBiases({ family, biases }: UniformSpec, known: readonly LinearRole[]): void {
  const unknown = biases.filter((role) => !known.includes(role));
  if (unknown.length > 0) throw unlikeLlamaCpp(family, `with a bias of ${unknown.join(', ')}`);
}

/** Refuses divisors of the rotary frequencies in architectures for which llama.cpp reads none. */
export function withoutDivisors({ family, ropes }: UniformSpec): void {
  if (ropes.some(({ scaling: { kind } }) => kind === 'llama3' || kind === 'factors' || kind === 'longrope'))
    throw unlikeLlamaCpp(family, 'with this scaling of its rotary embedding');
}

/** Lists the linear layers that have a bias in the first block of a GGUF. */
export function ggufBiases(facts: GgufFacts): LinearRole[] {
  const roles = ['attn_q', 'attn_k', 'attn_v', 'attn_qkv', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'] as const;
  return roles.filter((role) => facts.shape(`blk.0.${role}.bias`) !== null);
}
