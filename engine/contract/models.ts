/** Projects and models: what is read of a model, and which of its modules a recipe would adapt. */
import type { RecipeInput } from '../recipe.ts';

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
}
/** Where a thing is: registered in the store, or simply a path. */
export type Ref = { readonly id: string } | { readonly path: string };
export interface AcceptFields {
  /** Fields of a model's config, or metadata keys, that nobody here knows and a person lets pass; left out: none. */
  readonly acceptFields?: readonly string[];
}
/** Where a model lies, and how it is opened. */
export interface ModelAt extends AcceptFields {
  readonly path: string;
}
/** A model that is registered, or that lies somewhere. */
export type ModelRef = { readonly id: string } | ModelAt;
/** A linear layer of the blocks that can be adapted; one path is there once for each size that its matrix has. */
export interface LinearInfo {
  /** `q_proj`, as PEFT's target_modules names it. */
  readonly name: string;
  /** Path of the module with `{layer}` in place of the block number. */
  readonly path: string;
  /** The blocks that have it. */
  readonly layers: readonly number[];
  readonly outFeatures: number;
  readonly inFeatures: number;
}
export interface ModelInfo {
  readonly family: string;
  readonly name: string;
  readonly format: 'hub' | 'gguf';
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Storage of most weights: `F32`, `Q4_1`. */
  readonly weightType: string;
  readonly bytes: number;
  readonly linears: readonly LinearInfo[];
  readonly hasTokenizer: boolean;
  readonly hasChatTemplate: boolean;
  readonly licence: string | null;
  /** SHA-256 over the weight files. */
  readonly hash: string;
  /** Fields of its config, or metadata keys, that nobody here knows and a person let pass. */
  readonly acceptFields: readonly string[];
  /** Sentences about what is missing or read differently. */
  readonly notes: readonly string[];
}
export interface Model extends ModelInfo {
  readonly id: string;
  readonly projectId: string;
  readonly path: string;
  readonly createdAt: number;
  /** Shipped with the studio. */
  readonly embedded: boolean;
}
/** A module of a model that can get an adapter, in all blocks where it has this size, and what a recipe makes of it. */
export interface TargetInfo {
  /** As target_modules names it: `q_proj`; `attn.c_proj` where the last part alone would mean two; `lm_head`, the whole path. */
  readonly target: string;
  /** Path with `{layer}` in place of the block's number. */
  readonly path: string;
  /** The blocks that have it; none for embedding and head. */
  readonly layers: readonly number[];
  readonly part: 'embedding' | 'mixer' | 'feed-forward' | 'head';
  /** The last one of its part: what it computes is added to what the block was given. */
  readonly last: boolean;
  /** A matrix of [out, in]; that of an embedding is [in, out]. */
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Rank in each of those blocks, or the only one outside of them; 0 without an adapter. */
  readonly ranks: readonly number[];
  /** alpha / r, or alpha / sqrt(r), where there is an adapter. */
  readonly scales: readonly number[];
}
/** A norm of a block: before or after one of its parts, or of the heads of queries and keys. */
export type NormPlace = 'mixer' | 'after-mixer' | 'feed-forward' | 'after-feed-forward' | 'heads';
/** How the blocks of some layers are put together, which is one way. */
export interface BlockForm {
  readonly layers: readonly number[];
  readonly norms: readonly NormPlace[];
  /** Mixer and feed-forward read the same and are added together. */
  readonly parallel: boolean;
  readonly mixer: { readonly kind: 'attention'; readonly heads: number; readonly keyValueHeads: number };
}
/** What a recipe would adapt in a model, and how the model's blocks are put together. */
export interface TargetPlan {
  readonly modules: readonly TargetInfo[];
  /** One for each way in which blocks are put together, with matrices of the same sizes. */
  readonly blocks: readonly BlockForm[];
  /** The head is the embedding's matrix. */
  readonly tiedHead: boolean;
  /** For how many adapted modules each name of a pattern decides. */
  readonly rankMatches: Readonly<Record<string, number>>;
  readonly alphaMatches: Readonly<Record<string, number>>;
}
/** What `inspect` found; `kind` says which of the fields are there. */
export interface Inspection {
  readonly kind: 'model' | 'adapter' | 'dataset' | 'export';
  readonly path: string;
  readonly sound: boolean;
  readonly summary: readonly { readonly label: string; readonly value: string }[];
  readonly model?: ModelInfo;
}
export interface ModelRequests {
  'projects.list': () => readonly Project[];
  'projects.create': (p: { name: string }) => Project;
  'projects.rename': (p: { id: string; name: string }) => Project;
  'models.list': (p: { projectId: string }) => readonly Model[];
  'models.add': (p: { projectId: string; path: string } & AcceptFields) => Model;
  'models.remove': (p: { id: string }) => null;
  /** What a recipe would adapt; fields that are not about the adapter do not matter. */
  'models.targets': (p: { modelId: string; recipe: RecipeInput }) => TargetPlan;
  'inspect.path': (p: { path: string } & AcceptFields) => Inspection;
}
export interface ModelEvents {
  /** A list of this project changed as a whole: ask again. */
  'list.changed': {
    readonly projectId: string;
    readonly list: 'models' | 'datasets' | 'adapters' | 'exports' | 'runs' | 'projects';
  };
}
