/** Reads the singular values of updates: how much of an update a smaller rank would hold. */
import type { LessonMatrix } from './matrices.ts';

/** Returns what the first `rank` singular values hold of the sum of all squares; 1 where all are 0. */
export function heldBy(values: readonly number[], rank: number): number {
  const squares = (some: readonly number[]): number => some.reduce((sum, value) => sum + value ** 2, 0);
  const whole = squares(values);
  return whole === 0 ? 1 : squares(values.slice(0, rank)) / whole;
}

export interface Held {
  readonly matrix: LessonMatrix;
  readonly share: number;
}

/** Returns the matrix that would lose the most if all were cut to a rank, or null where none was trained. */
export function worstHeld(matrices: readonly LessonMatrix[], rank: number): Held | null {
  let worst: Held | null = null;
  for (const matrix of matrices) {
    if (matrix.update === null) continue;
    const share = heldBy(matrix.update.singularValues, rank);
    if (worst === null || share < worst.share) worst = { matrix, share };
  }
  return worst;
}

/** Returns half of a rank, rounded up: the rank that the lesson compares with. */
export const halfOf = (rank: number): number => Math.ceil(rank / 2);

/** An update that uses more of its rank than this may need more. */
const nearlyAll = 0.875;
/** Half the rank is enough where it holds this much. */
const enough = 0.95;

/** Says in a sentence what the spectrum of an update means for the choice of the rank. */
export function rankAdvice({ rank, singularValues, effectiveRank }: NonNullable<LessonMatrix['update']>): string {
  if (effectiveRank === 0) return 'The update is 0: nothing was learned here.';
  if (rank === 1) return 'One direction is all that rank 1 has. A higher rank is worth a run.';
  if (effectiveRank > nearlyAll * rank) return 'Nearly all of the rank is used: a higher one is worth a run.';
  return heldBy(singularValues, halfOf(rank)) >= enough
    ? 'Half the rank would do for this matrix.'
    : 'Half the rank would lose part of this matrix, and a higher one would hardly be used.';
}
