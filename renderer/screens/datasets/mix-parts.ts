/** Finds the data sets that the parts of a mix were taken from. */
import type { AskedMix, AskedPart, Dataset, Mix, MixPart } from '../../../engine/contract.ts';

/** Returns the data set that a part was taken from, or null where it was removed or has another name by now. */
export function setOfPart({ version }: MixPart, sets: readonly Dataset[]): Dataset | null {
  if (version === undefined) return null;
  return sets.find((set) => set.version.id === version.id) ?? sets.find(({ name }) => name === version.dataset) ?? null;
}

/** Says where the rows of a part are as the mix has them: in a version, or in files where its data set is gone. */
export function heldData(part: MixPart, sets: readonly Dataset[]): AskedPart['data'] {
  return part.version !== undefined && setOfPart(part, sets) !== null ? { versionId: part.version.id } : part.data;
}

/** Returns the parts whose data set has another version by now, each with that data set. */
export function outdatedParts(
  mix: Mix,
  sets: readonly Dataset[],
): readonly { readonly part: MixPart; readonly set: Dataset }[] {
  return mix.parts.flatMap((part) => {
    const set = setOfPart(part, sets);
    return set === null || set.version.id === part.version?.id ? [] : [{ part, set }];
  });
}

/** Returns a mix in which one part has the present version of its data set. */
export function withPresent({ parts, seed }: Mix, renewed: MixPart, sets: readonly Dataset[]): AskedMix {
  return {
    parts: parts.map(({ version: _, ...part }, i) => {
      const held = parts[i]!;
      const set = held === renewed ? setOfPart(held, sets) : null;
      return { ...part, data: set === null ? heldData(held, sets) : { versionId: set.version.id } };
    }),
    seed,
  };
}
