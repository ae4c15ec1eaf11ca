/** Defines adapter versions, their update norms, and how an adapter is described to a job. */

/** Says what the files of an adapter are, as they were recorded. */
export interface AdapterHashes {
  /** Holds the SHA-256 of the file with the numbers. */
  readonly hash: string;
  /**
   * Holds the SHA-256 of the config beside it. It is null where both are in one file, and where an earlier studio recorded only
   * the numbers.
   */
  readonly configHash: string | null;
}
/** Names the adapter of a job that has one at most, with what its version has recorded, as in `AdapterAt`. */
export interface OneAdapter<Path = string | null> {
  readonly adapterPath: Path;
  readonly adapterHash?: string;
  readonly adapterConfigHash?: string | null;
}
export interface AdapterVersion extends AdapterHashes {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly path: string;
  /** Names the run that trained it, or is null when it was imported. */
  readonly runId: string | null;
  readonly runName: string | null;
  readonly step: number | null;
  readonly modelId: string | null;
  readonly modelName: string;
  readonly modelPath: string;
  readonly datasetName: string | null;
  readonly rank: number;
  readonly alpha: number;
  readonly targetModules: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  readonly evalLoss: number | null;
  readonly tag: 'candidate' | 'best' | 'shipped' | null;
  readonly createdAt: number;
}
/** Describes what is read from an adapter together with its base. */
export type AdapterDescription = Pick<AdapterVersion, 'rank' | 'alpha' | 'targetModules' | 'parameters' | 'bytes'> &
  AdapterHashes;
/** Says how far an adapter moves each matrix: the Frobenius norm of s B A. */
export interface UpdateNorms {
  /** Gives the smallest and the largest scale s of its matrices, or null when it has no matrix. */
  readonly scales: { readonly least: number; readonly most: number } | null;
  /** Counts the blocks of the model. */
  readonly layers: number;
  readonly modules: readonly {
    readonly name: string;
    /** Gives the path of the module, with `{layer}` in place of the block's number. */
    readonly path: string;
    /** Lists the numbers of the blocks that have this module. It is empty for a module outside of the blocks. */
    readonly layers: readonly number[];
    /**
     * Holds one norm for each of `layers`, null where the block has no adapter here, or a single norm for a module outside of
     * the blocks.
     */
    readonly norms: readonly (number | null)[];
  }[];
}
export interface AdapterWeight {
  readonly path: string;
  readonly weight: number;
}
/**
 * Describes an adapter as a job receives it: its path, and what its version has recorded. A file with another hash is refused;
 * where nothing is recorded, the adapter is accepted as it is.
 */
export interface AdapterAt extends AdapterWeight, Partial<AdapterHashes> {
  /** Names the folder of the run that trained it. If it is left out, the job looks for a run folder around the adapter. */
  readonly runFolder?: string;
}
export interface AdapterRequests {
  'adapters.list': (p: { projectId: string }) => readonly AdapterVersion[];
  'adapters.import': (p: { projectId: string; path: string; modelId: string }) => AdapterVersion;
  'adapters.update': (p: { id: string; name?: string; tag?: AdapterVersion['tag'] }) => AdapterVersion;
  'adapters.norms': (p: { id: string }) => UpdateNorms;
}
export interface AdapterEvents {
  'adapter.changed': AdapterVersion;
}
