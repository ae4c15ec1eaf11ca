/** Defines adapter versions, their update norms, and how a job is told of an adapter. */

/** Says what the files of an adapter are, as they were recorded. */
export interface AdapterHashes {
  /** SHA-256 of the file with the numbers. */
  readonly hash: string;
  /** SHA-256 of the config beside it; null where both are in one file, and where an earlier studio recorded the numbers alone. */
  readonly configHash: string | null;
}
export interface AdapterVersion extends AdapterHashes {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly path: string;
  /** The run that trained it; null when it was imported. */
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
/** Describes what is read of an adapter together with its base. */
export type AdapterDescription = Pick<AdapterVersion, 'rank' | 'alpha' | 'targetModules' | 'parameters' | 'bytes'> &
  AdapterHashes;
/** Says how far an adapter moves each matrix: the Frobenius norm of s B A. */
export interface UpdateNorms {
  /** The smallest and the largest scale s of its matrices; null when it has no matrix. */
  readonly scales: { readonly least: number; readonly most: number } | null;
  /** The number of blocks of the model. */
  readonly layers: number;
  readonly modules: readonly {
    readonly name: string;
    /** The path of the module, with `{layer}` in place of the block's number. */
    readonly path: string;
    /** The numbers of the blocks that have this module; empty for a module outside of the blocks. */
    readonly layers: readonly number[];
    /**
     * One norm for each of `layers`, null where the block has no adapter here; a single norm for a module outside of the
     * blocks.
     */
    readonly norms: readonly (number | null)[];
  }[];
}
export interface AdapterWeight {
  readonly path: string;
  readonly weight: number;
}
/**
 * Describes an adapter as a job receives it: where it lies, and what its version has recorded of it. A file with another hash is
 * refused; where nothing is recorded, the adapter is taken as it is.
 */
export interface AdapterAt extends AdapterWeight, Partial<AdapterHashes> {
  /** The folder of the run that trained it. Left out: the job looks for a run folder around the adapter. */
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
