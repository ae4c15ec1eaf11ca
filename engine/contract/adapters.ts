/** Adapter versions. */

export interface AdapterVersion {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly path: string;
  /** Null when imported. */
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
  readonly hash: string;
  readonly evalLoss: number | null;
  readonly tag: 'candidate' | 'best' | 'shipped' | null;
  readonly createdAt: number;
}
/** What is read of an adapter and its base together. */
export type AdapterDescription = Pick<AdapterVersion, 'rank' | 'alpha' | 'targetModules' | 'parameters' | 'bytes' | 'hash'>;
/** How far an adapter moves each matrix: the Frobenius norm of s B A. */
export interface UpdateNorms {
  /** The smallest and the largest s of its matrices; null where it has none. */
  readonly scales: { readonly least: number; readonly most: number } | null;
  /** Blocks of the model. */
  readonly layers: number;
  readonly modules: readonly {
    readonly name: string;
    /** With `{layer}` in place of the block's number. */
    readonly path: string;
    /** The blocks that have it; none outside of them. */
    readonly layers: readonly number[];
    /** One for each of those, null where it has no adapter; a single one outside of the blocks. */
    readonly norms: readonly (number | null)[];
  }[];
}
export interface AdapterWeight {
  readonly path: string;
  readonly weight: number;
}
/** An adapter as a job gets it: where it lies, and what is known of it. */
export interface AdapterAt extends AdapterWeight {
  /** That of its version: a file that has another one is refused. Left out: it is taken as it is. */
  readonly hash?: string;
  /** The folder of the run that trained it. Left out: the job looks for one beside the adapter. */
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
