import type { Run } from '../../../engine/contract.ts';

/** Returns what a run was trained on: its data set and which version of it, where that is known. */
export function dataName({ datasetName, version }: Pick<Run, 'datasetName' | 'version'>): string {
  return version === null ? datasetName : `${datasetName}, version ${version}`;
}
