/** How long a row may be for a model. */
import type { DecoderSpec, RopeScaling } from './spec.ts';

/** Tokens of the longest row that can be computed at all: learned positions end somewhere, others do not. */
export function positionLimit({ learnedPositions }: Pick<DecoderSpec, 'learnedPositions'>): number {
  return learnedPositions ?? Number.POSITIVE_INFINITY;
}

/** What of a spec says how long rows may be. */
export type PositionsSpec = Pick<DecoderSpec, 'contextLength' | 'learnedPositions' | 'ropes'>;

/**
 * Tokens of the longest row the model was made for. Some configs state the context with the scaling of the rotary embedding in it and
 * others without: the longer one counts.
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
