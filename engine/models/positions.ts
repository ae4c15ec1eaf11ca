/** Says how long a row may be for a model. */
import type { DecoderSpec, RopeScaling } from './spec.ts';

/** Returns the tokens of the longest row that can be computed at all: learned positions have an end, others do not. */
export function positionLimit({ learnedPositions }: Pick<DecoderSpec, 'learnedPositions'>): number {
  return learnedPositions ?? Number.POSITIVE_INFINITY;
}

/** Holds the fields of a spec that say how long rows may be. */
export type PositionsSpec = Pick<DecoderSpec, 'contextLength' | 'learnedPositions' | 'ropes'>;

/**
 * Returns the context length: the tokens of the longest row the model was made for. Some configs state it with the scaling of
 * the rotary embedding and others without, so the longer of the two counts.
 */
export function contextOf({ contextLength, learnedPositions, ropes }: PositionsSpec): number {
  if (learnedPositions !== null) return Math.min(contextLength, learnedPositions);
  return Math.max(contextLength, ...ropes.map(({ scaling }) => scaledContext(scaling, contextLength)));
}

function scaledContext(scaling: RopeScaling, contextLength: number): number {
  switch (scaling.kind) {
    case 'linear':
      return scaling.factor * contextLength;
    case 'dynamic':
      return scaling.factor * scaling.contextLength;
    case 'llama3':
    case 'yarn':
      return scaling.factor * scaling.originalContextLength;
    // Their configs state the long context; the factors do not say how long it is.
    case 'longrope':
    case 'factors':
    case 'none':
      return contextLength;
  }
}
