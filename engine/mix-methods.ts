/** Lists the ways to mix adapters, which are the combinations of PEFT's `add_weighted_adapter`, with hyphens. */

/** Says what a method does; what a setting changes follows from it. */
export interface MixRule {
  /**
   * Says what is merged: the factors one by one, whole matrices s B A, or nothing, where the factors are put beside each other.
   */
  readonly of: 'factors' | 'matrices' | 'pairs';
  /** Says whether the result has the largest rank of the adapters where no other is given. */
  readonly cuts: boolean;
  /** Names which values are kept: the largest of each tensor, or those drawn at random, which are then scaled up. */
  readonly prune: 'magnitude' | 'random' | null;
  /** Says whether each element takes the sign of the majority, and the mean of only the values with that sign. */
  readonly electsSign: boolean;
}

const added = { prune: null, electsSign: false } as const;
const pruned = { prune: 'magnitude', electsSign: false } as const;
const ties = { prune: 'magnitude', electsSign: true } as const;
const dareLinear = { prune: 'random', electsSign: false } as const;
const dareTies = { prune: 'random', electsSign: true } as const;
const factors = { of: 'factors', cuts: false } as const;
const matrices = { of: 'matrices', cuts: true } as const;

export const mixMethods = {
  linear: { ...factors, ...added },
  cat: { of: 'pairs', cuts: false, ...added },
  svd: { of: 'pairs', cuts: true, ...added },
  ties: { ...factors, ...ties },
  'ties-svd': { ...matrices, ...ties },
  'magnitude-prune': { ...factors, ...pruned },
  'magnitude-prune-svd': { ...matrices, ...pruned },
  'dare-linear': { ...factors, ...dareLinear },
  'dare-linear-svd': { ...matrices, ...dareLinear },
  'dare-ties': { ...factors, ...dareTies },
  'dare-ties-svd': { ...matrices, ...dareTies },
} as const satisfies Readonly<Record<string, MixRule>>;

export type MixMethod = keyof typeof mixMethods;
