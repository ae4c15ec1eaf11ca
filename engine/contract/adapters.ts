/** Defines adapter versions, their update norms and mixes, and how an adapter is described to a job. */
import type { MixMethod } from '../mix-methods.ts';
import type { ModelRef, Ref } from './models.ts';

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
/** Says what an adapter adds to one matrix W: s B A, with A `[rank, in]` and B `[out, rank]`. */
export interface MatrixUpdate {
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly rank: number;
  readonly scale: number;
  /** Gives the Frobenius norm of s B A. */
  readonly norm: number;
  /** Holds the singular values of s B A, in descending order: as many as the rank, all others are 0. */
  readonly singularValues: readonly number[];
  /**
   * Gives the exponential of the entropy of the singular values as shares of their sum (Roy and Vetterli 2007): the number of
   * directions that the update uses. It is 0 for an update that is 0.
   */
  readonly effectiveRank: number;
}
/** Says what an adapter adds to each matrix of its base. */
export interface AdapterUpdates {
  /** Counts the blocks of the model. */
  readonly layers: number;
  readonly modules: readonly {
    readonly name: string;
    /** Gives the path of the module, with `{layer}` in place of the block's number. */
    readonly path: string;
    /** Lists the numbers of the blocks that have this module. It is empty for a module outside of the blocks. */
    readonly layers: readonly number[];
    /**
     * Holds one update for each of `layers`, null where the block has no adapter here, or a single update for a module outside
     * of the blocks.
     */
    readonly updates: readonly (MatrixUpdate | null)[];
  }[];
}
/** Shows one matrix of a model before and after an adapter is merged into it. Rows and columns are as the model stores them. */
export interface MergedMatrix {
  readonly rows: number;
  readonly columns: number;
  /** Holds the first columns of the first rows of W. The values of a quantized model are dequantized. */
  readonly before: readonly (readonly number[])[];
  /** Holds the same elements after merging, in float32. */
  readonly after: readonly (readonly number[])[];
  /** Says whether merging adds s B A and does nothing else, as it does without DoRA and where W is not trained itself. */
  readonly isSum: boolean;
  /** Gives the Frobenius norm of what merging changes, as a share of that of W. It is null where W is 0. */
  readonly changed: number | null;
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
/** Says how adapters are mixed into one. */
export interface MixSettings {
  readonly method: MixMethod;
  /**
   * Gives the largest rank of a matrix of the result. If it is left out, the methods with `svd` take the largest of the
   * adapters, and all others cut nothing.
   */
  readonly rank?: number;
  /** Gives the share of values that is kept, above 0 and at most 1, for the methods that prune. */
  readonly density?: number;
  /** Says how `ties` methods elect a sign: by the sum of the values, or by their number. If it is left out, it is `total`. */
  readonly majoritySign?: 'total' | 'frequency';
  /** Seeds the draw of `dare` methods. If it is left out, it is 0. */
  readonly seed?: number;
}
/** Describes one matrix of a mixed adapter. */
export interface MixedMatrix {
  readonly path: string;
  readonly rank: number;
  /** Gives the Frobenius norm of what the cut to this rank lost, as a share of the whole change's; 0 where nothing was cut. */
  readonly lost: number;
}
/** Describes an adapter that was made of others. */
export interface MixedAdapter extends AdapterDescription {
  /** Gives the folder it was written to. */
  readonly path: string;
  /** Names the base it was held against, or is null where that is not on this computer. */
  readonly base: { readonly path: string; readonly name: string } | null;
  readonly mix: MixSettings;
  readonly matrices: readonly MixedMatrix[];
  /** Names the matrix that lost the most, or is null when none lost anything. */
  readonly worst: MixedMatrix | null;
  /** Says in sentences what a person should know of it. */
  readonly notes: readonly string[];
}
/** Holds a mixed adapter and its version, which is null where the base is not on this computer. */
export interface MixedVersion extends MixedAdapter {
  readonly version: AdapterVersion | null;
}
/** Says where a mixed adapter goes. */
interface MixPlace {
  readonly projectId?: string;
  /** Gives the name of the version; the name of its folder if it is left out. */
  readonly name?: string;
  /** Gives the folder to write, which must not exist or be empty. If it is left out, it is one in the data folder. */
  readonly out?: string;
}
export interface MixRequest extends MixPlace {
  readonly model: ModelRef;
  /** Lists the adapters. A weight may be negative; one that is left out is 1. */
  readonly adapters: readonly (Ref & { readonly weight?: number })[];
  readonly mix: MixSettings;
}
export interface TruncateRequest extends MixPlace {
  /** Names the base. If it is left out, it is that of the version, or the one that the adapter's config names. */
  readonly model?: ModelRef;
  readonly adapter: Ref;
  readonly rank: number;
}
/** Says what a version was mixed from. */
export interface MixOrigin {
  readonly mix: MixSettings;
  readonly parents: readonly {
    readonly name: string;
    readonly weight: number;
    /** Names its version in the same project, or is null where there is none. */
    readonly adapterId: string | null;
  }[];
}
export interface AdapterRequests {
  'adapters.list': (p: { projectId: string }) => readonly AdapterVersion[];
  'adapters.import': (p: { projectId: string; path: string; modelId: string }) => AdapterVersion;
  'adapters.update': (p: { id: string; name?: string; tag?: AdapterVersion['tag'] }) => AdapterVersion;
  'adapters.updates': (p: { id: string }) => AdapterUpdates;
  /** Merges an adapter into one matrix and returns a corner of it. `path` names the module, as `model.layers.3.mlp.up_proj`. */
  'adapters.matrix': (p: { id: string; path: string }) => MergedMatrix;
  /** Says for each version of the project that is a mix what it was mixed from, by its id, as its folder records it. */
  'adapters.mixes': (p: { projectId: string }) => Readonly<Record<string, MixOrigin>>;
  /** Mixes adapters of one base into a new one, and answers when it is written and stored as a version. */
  'adapters.mix': (p: MixRequest) => MixedVersion;
  /** Writes an adapter again with matrices of at most this rank, which lose as little as they can. */
  'adapters.truncate': (p: TruncateRequest) => MixedVersion;
}
export interface AdapterEvents {
  'adapter.changed': AdapterVersion;
}
