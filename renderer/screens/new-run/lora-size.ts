import type { LinearInfo } from '../../../engine/contract.ts';

/** Returns how many numbers one adapted matrix trains: r · (in + out), because A is [r, in] and B is [out, r]. */
export function adapterParameters(linear: Pick<LinearInfo, 'inFeatures' | 'outFeatures'>, rank: number): number {
  return rank * (linear.inFeatures + linear.outFeatures);
}

/** Returns what the adapter trains as a share of the matrix beside it. */
export function adapterShare(linear: Pick<LinearInfo, 'inFeatures' | 'outFeatures'>, rank: number): number {
  return adapterParameters(linear, rank) / (linear.inFeatures * linear.outFeatures);
}

/** Holds the usual example in texts on LoRA: a 40,000 × 10,000 matrix at rank 2. */
export const textbook = { linear: { outFeatures: 40_000, inFeatures: 10_000 }, rank: 2 } as const;
