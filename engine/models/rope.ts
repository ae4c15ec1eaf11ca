/** Computes the angles of rotary position embeddings, with every scaling in modeling_rope_utils.py of transformers. */
import type { RopeSpec } from './spec.ts';

/** Computes the inverse frequencies `[dimension / 2]` for rows of `length` tokens, with the scaling applied, in float64. */
export function ropeInverseFrequencies({ theta, dimension, scaling }: RopeSpec, length: number): number[] {
  const plain = Array.from({ length: dimension / 2 }, (_, i) => 1 / theta ** ((2 * i) / dimension));
  switch (scaling.kind) {
    case 'none':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'dynamic': {
      const { factor, contextLength } = scaling;
      if (length <= contextLength) return plain;
      const grown = theta * ((factor * length) / contextLength - (factor - 1)) ** (dimension / (dimension - 2));
      return plain.map((_, i) => 1 / grown ** ((2 * i) / dimension));
    }
    case 'factors':
      return plain.map((frequency, i) => frequency / scaling.factors[i]!);
    case 'longrope': {
      const factors = length > scaling.originalContextLength ? scaling.longFactors : scaling.shortFactors;
      return plain.map((frequency, i) => frequency / factors[i]!);
    }
    case 'llama3': {
      const { factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength } = scaling;
      return plain.map((frequency) => {
        const wavelength = (2 * Math.PI) / frequency;
        if (wavelength < originalContextLength / highFrequencyFactor) return frequency;
        if (wavelength > originalContextLength / lowFrequencyFactor) return frequency / factor;
        const smooth = (originalContextLength / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
    case 'yarn': {
      const { factor, betaFast, betaSlow, originalContextLength, truncate } = scaling;
      // The pair that turns `rotations` times within the original context.
      const pair = (rotations: number) =>
        (dimension * Math.log(originalContextLength / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
      const [first, last] = [pair(betaFast), pair(betaSlow)];
      const low = Math.max(truncate ? Math.floor(first) : first, 0);
      const high = Math.min(truncate ? Math.ceil(last) : last, dimension - 1);
      const width = high === low ? 0.001 : high - low;
      return plain.map((frequency, i) => {
        const slowed = Math.min(Math.max((i - low) / width, 0), 1);
        return (frequency / factor) * slowed + frequency * (1 - slowed);
      });
    }
  }
}

/** Says whether rows of these two lengths have different angles, so that keys cached for one are of no use for the other. */
export function turnsOtherwise({ scaling }: RopeSpec, length: number, other: number): boolean {
  if (scaling.kind === 'dynamic') return length !== other && Math.max(length, other) > scaling.contextLength;
  return scaling.kind === 'longrope' && length > scaling.originalContextLength !== other > scaling.originalContextLength;
}

/** Computes cos and sin of the positions `from` up to but not including `to`, each `[to - from, dimension / 2]`, in float32. */
export function ropeTables(rope: RopeSpec, from: number, to: number, length = to): { cos: Float32Array; sin: Float32Array } {
  const { scaling } = rope;
  const factor = scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attentionFactor : 1;
  const frequencies = ropeInverseFrequencies(rope, length);
  const angles = Array.from({ length: to - from }, (_, i) => frequencies.map((frequency) => (from + i) * frequency)).flat();
  return {
    cos: Float32Array.from(angles, (angle) => factor * Math.cos(angle)),
    sin: Float32Array.from(angles, (angle) => factor * Math.sin(angle)),
  };
}
