import type { DataFiles, Dataset } from '../../engine/contract.ts';

/** Returns the data set that was made from exactly these files, whatever they hold now, or null where there is none. */
export function madeOf(files: Pick<DataFiles, 'paths' | 'evalPaths'>, datasets: readonly Dataset[]): Dataset | null {
  const wanted = named(
    files.paths
      .map((path) => ({ path, split: 'train' }))
      .concat((files.evalPaths ?? []).map((path) => ({ path, split: 'eval' }))),
  );
  // Of a folder the texts in it may be others by now.
  const added = ({ version }: Dataset) => version.files.map(({ path, folder = path, split }) => ({ path: folder, split }));
  return datasets.find((dataset) => dataset.version.mix === null && named(added(dataset)) === wanted) ?? null;
}

/** Returns another data set with the same rows, wherever its files are, or null where there is none. */
export function sameRows({ id, version }: Dataset, datasets: readonly Dataset[]): Dataset | null {
  return datasets.find((other) => other.id !== id && other.version.hash === version.hash) ?? null;
}

/** Names files so that their order does not matter. */
function named(files: readonly { readonly path: string; readonly split: string }[]): string {
  return JSON.stringify([...new Set(files.map(({ path, split }) => `${split} ${path}`))].sort());
}
