/** Lists what can be shown of an update for each matrix. */
import type { MatrixUpdate } from '../../../engine/contract.ts';

export type Measure = 'norm' | 'effectiveRank';

export const measures: Readonly<
  Record<Measure, { label: string; title: string; text: string; of: (update: MatrixUpdate) => number }>
> = {
  norm: { label: 'Norm', title: 'Norm of the update', text: 'Norm of s · B A', of: ({ norm }) => norm },
  effectiveRank: {
    label: 'Effective rank',
    title: 'Effective rank of the update',
    text: 'Directions that s · B A uses',
    of: ({ effectiveRank }) => effectiveRank,
  },
};
export const measureNames = Object.keys(measures) as Measure[];
