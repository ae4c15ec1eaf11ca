import type { LinearInfo } from '../../../engine/contract.ts';

/** A is [r, in] and B is [out, r], so one adapted matrix trains r · (in + out) numbers. */
export function adapterParameters(linear: Pick<LinearInfo, 'inFeatures' | 'outFeatures'>, rank: number): number {
  return rank * (linear.inFeatures + linear.outFeatures);
}

/** What the adapter trains, as a share of the matrix it stands beside. */
export function adapterShare(linear: Pick<LinearInfo, 'inFeatures' | 'outFeatures'>, rank: number): number {
  return adapterParameters(linear, rank) / (linear.inFeatures * linear.outFeatures);
}

/** The layers that `targetModules` means: all, those whose path ends in a name, or those a regular expression matches as a whole. */
export function chosenLinears(linears: readonly LinearInfo[], target: string | readonly string[]): readonly LinearInfo[] {
  if (target === 'all-linear') return linears;
  if (typeof target !== 'string')
    return linears.filter(({ path }) => target.some((name) => path === name || path.endsWith(`.${name}`)));
  try {
    const expression = new RegExp(`^(?:${target})$`);
    return linears.filter(({ path }) => expression.test(path.replace('{layer}', '0')));
  } catch {
    // Half-typed; the field says what is wrong with it.
    return [];
  }
}

/** Blocks that `layers` means; one named twice or beyond the last does not count. */
export function chosenBlocks(blocks: number, layers: 'all' | readonly number[]): number {
  return layers === 'all' ? blocks : new Set(layers.filter((layer) => layer < blocks)).size;
}

/** The example every text on LoRA gives: a 40,000 × 10,000 matrix at rank 2. */
export const textbook = { linear: { outFeatures: 40_000, inFeatures: 10_000 }, rank: 2 } as const;
