/** Writes values of GGUF metadata, and the rotary scaling of config.json. */
import type { GgufValue } from '../../formats/gguf.ts';
import { Problem } from '../../problem.ts';
import { ropeInverseFrequencies } from '../rope.ts';
import type { RopeScaling, RopeSpec } from '../spec.ts';

export function ggufCount(value: number): GgufValue {
  return { type: 'uint32', value };
}
export function ggufNumber(value: number): GgufValue {
  return { type: 'float32', value };
}
export function ggufFlag(value: boolean): GgufValue {
  return { type: 'bool', value };
}
export function ggufText(value: string): GgufValue {
  return { type: 'string', value };
}

/** Returns `rope_scaling` of config.json, or null without scaling. */
export function ropeScalingToConfig(rope: RopeSpec): Record<string, unknown> | null {
  const scaling = rope.scaling.kind === 'factors' ? llama3Scaling(rope) : rope.scaling;
  switch (scaling.kind) {
    case 'none':
      return null;
    case 'linear':
    case 'dynamic':
      return { rope_type: scaling.kind, factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        original_max_position_embeddings: scaling.originalContextLength,
        attention_factor: scaling.attentionFactor,
        truncate: scaling.truncate,
      };
    case 'longrope':
      return {
        rope_type: 'longrope',
        short_factor: scaling.shortFactors,
        long_factor: scaling.longFactors,
        attention_factor: scaling.attentionFactor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case 'factors':
      throw new Problem(
        'export-unsupported',
        'The divisors of the rotary embedding in this GGUF follow no rule that config.json can express.',
        'Export a GGUF instead.',
      );
  }
}

/**
 * Finds the published parameters of llama3's rule that give these divisors, because GGUF stores the divisors and not the
 * parameters.
 */
function llama3Scaling(rope: RopeSpec): RopeScaling {
  const { scaling } = rope;
  if (scaling.kind !== 'factors') return scaling;
  const target = ropeInverseFrequencies(rope, 0);
  const factor = Number(Math.max(...scaling.factors).toPrecision(6));
  for (let originalContextLength = 32; originalContextLength <= 1 << 20; originalContextLength *= 2) {
    const candidate = { kind: 'llama3', factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength } as const;
    const found = ropeInverseFrequencies({ ...rope, scaling: candidate }, 0);
    if (found.every((frequency, i) => Math.abs(frequency / target[i]! - 1) < 1e-5)) return candidate;
  }
  return scaling;
}
