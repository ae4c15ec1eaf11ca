/** Defines projects and models: what is read from a model, and which of its modules a recipe would adapt. */
import type { RecipeInput } from '../recipe.ts';

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
}
/** Names a thing by its id in the store, or by its path. */
export type Ref = { readonly id: string } | { readonly path: string };
export interface AcceptFields {
  /**
   * Lists fields of a model's config, or metadata keys, that the studio does not know and a person accepted. If it is left out,
   * there are none.
   */
  readonly acceptFields?: readonly string[];
}
/** Gives the path of a model, and how it is opened. */
export interface ModelAt extends AcceptFields {
  readonly path: string;
}
/** Names a model by its id in the store, or by its path. */
export type ModelRef = { readonly id: string } | ModelAt;
/** Describes a linear layer of the blocks that can be adapted. A path is listed once for each size that its matrix has. */
export interface LinearInfo {
  /** Gives the name of the module in PEFT's target_modules: `q_proj`. */
  readonly name: string;
  /** Gives the path of the module, with `{layer}` in place of the block's number. */
  readonly path: string;
  /** Lists the numbers of the blocks that have it. */
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
  /** Gives the storage type of most weights: `F32`, `Q4_1`. */
  readonly weightType: string;
  readonly bytes: number;
  readonly linears: readonly LinearInfo[];
  readonly hasTokenizer: boolean;
  readonly hasChatTemplate: boolean;
  readonly licence: string | null;
  /** Holds the SHA-256 over the weight files. */
  readonly hash: string;
  /** Lists fields of its config, or metadata keys, that the studio does not know and a person accepted. */
  readonly acceptFields: readonly string[];
  /** Says in sentences what is missing, or is read differently from what the model says. */
  readonly notes: readonly string[];
}
export interface Model extends ModelInfo {
  readonly id: string;
  readonly projectId: string;
  readonly path: string;
  readonly createdAt: number;
  /** Says whether the model is shipped with the studio. */
  readonly embedded: boolean;
}
/** Describes a module that can be adapted, in all blocks where it has this size, and what a recipe makes of it. */
export interface TargetInfo {
  /**
   * Gives its name in target_modules: `q_proj`; `attn.c_proj` where the last part alone would name two modules; `lm_head`, the
   * whole path.
   */
  readonly target: string;
  /** Gives the path of the module, with `{layer}` in place of the block's number. */
  readonly path: string;
  /** Lists the numbers of the blocks that have it. It is empty for the embedding and the head. */
  readonly layers: readonly number[];
  readonly part: 'embedding' | 'mixer' | 'feed-forward' | 'head';
  /** Says whether it is the last module of its part, whose output is added to the residual stream. */
  readonly last: boolean;
  /** Gives the output size. The matrix is `[out, in]`, but that of an embedding is `[in, out]`. */
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Gives the rank in each of these blocks, or the only rank outside of the blocks; 0 for a module without an adapter. */
  readonly ranks: readonly number[];
  /** Gives the scale alpha / r, or alpha / sqrt(r), for each of `ranks`; 0 where there is no adapter. */
  readonly scales: readonly number[];
}
/** Names the place of a norm in a block: before or after one of its parts, or over the heads of queries and keys. */
export type NormPlace = 'mixer' | 'after-mixer' | 'feed-forward' | 'after-feed-forward' | 'heads';
/** Describes the layers whose blocks have the same structure. */
export interface BlockForm {
  readonly layers: readonly number[];
  readonly norms: readonly NormPlace[];
  /** Says whether mixer and feed-forward read the same input and their outputs are added together. */
  readonly parallel: boolean;
  readonly mixer: { readonly kind: 'attention'; readonly heads: number; readonly keyValueHeads: number };
}
/** Says what a recipe would adapt in a model, and what structure the model's blocks have. */
export interface TargetPlan {
  readonly modules: readonly TargetInfo[];
  /** Holds one entry for each structure of blocks that have matrices of the same sizes. */
  readonly blocks: readonly BlockForm[];
  /** Says whether the head is the embedding's matrix. */
  readonly tiedHead: boolean;
  /** Counts the adapted modules for which each name of a pattern decides. */
  readonly rankMatches: Readonly<Record<string, number>>;
  readonly alphaMatches: Readonly<Record<string, number>>;
}
/** Holds what `inspect` found; `kind` says which of the fields are present. */
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
  /** Returns what a recipe would adapt. Fields of the recipe that are not about the adapter do not matter. */
  'models.targets': (p: { modelId: string; recipe: RecipeInput }) => TargetPlan;
  'inspect.path': (p: { path: string } & AcceptFields) => Inspection;
}
export interface ModelEvents {
  /** Says that a list of this project changed and has to be requested again. */
  'list.changed': {
    readonly projectId: string;
    readonly list: 'models' | 'datasets' | 'adapters' | 'exports' | 'runs' | 'projects';
  };
}
