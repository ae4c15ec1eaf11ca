/** Describes an adapter: the fields of PEFT's LoraConfig that are supported, and those that come with its files. */
import { defaultRecipe, type Recipe } from '../recipe.ts';

export interface AdapterConfig {
  /**
   * Says whether factors are trained (`lora`) or every weight itself (`full`, which PEFT does not have, and for which nothing
   * else here counts).
   */
  readonly method: 'lora' | 'full';
  /** Gives the rank of the factors, PEFT's `r`, from 1. */
  readonly rank: number;
  /** Gives the numerator of the scale, PEFT's `lora_alpha`. */
  readonly alpha: number;
  /** Says whether the scale is alpha / sqrt(r) instead of alpha / r, PEFT's `use_rslora`. */
  readonly rslora: boolean;
  /** Says whether magnitudes are trained too, PEFT's `use_dora`. */
  readonly dora: boolean;
  /**
   * Lists the adapted modules, PEFT's `target_modules`: whole paths or their last parts, 'all-linear', or a regular expression.
   */
  readonly targetModules: string | readonly string[];
  /** Lists the modules that are not adapted, PEFT's `exclude_modules`, in the same forms. */
  readonly excludeModules: string | readonly string[];
  /** Lists the blocks whose modules are adapted, counted from 0, PEFT's `layers_to_transform`. */
  readonly layers: 'all' | readonly number[];
  /** Lists the names that the number of a layer follows in a path, PEFT's `layers_pattern`; any name when empty. */
  readonly layersPattern: readonly string[];
  /**
   * Holds the ranks of single modules, PEFT's `rank_pattern`: keys are regular expressions for ends of paths, and the first
   * match counts.
   */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Lists the ends of paths of modules that are trained whole, PEFT's `modules_to_save`. */
  readonly modulesToSave: readonly string[];
  readonly bias: 'none' | 'lora_only' | 'all';
  /** Gives the share of a module's inputs that is dropped while training, PEFT's `lora_dropout`. */
  readonly dropout: number;
  /**
   * Says whether the model's own files keep its matrices transposed (GPT-2), PEFT's `fan_in_fan_out`. It is only a note for
   * PEFT.
   */
  readonly fanInFanOut: boolean;
  /** Gives the name or path of the base model, PEFT's `base_model_name_or_path`. */
  readonly base: string | null;
  /** Says whether a tied embedding and head stay one tensor when trained whole, PEFT's `ensure_weight_tying`. */
  readonly keepsTied: boolean;
  /**
   * Lists the other tensors of the model in the adapter's file (`save_embedding_layers`) that differ from the base's and
   * replace them. It is no field of PEFT's config but follows from the file.
   */
  readonly copies: readonly string[];
}

/** Holds the facts that no recipe states, because they come with the files. */
type FileFacts = Pick<AdapterConfig, 'base' | 'fanInFanOut' | 'keepsTied' | 'copies'>;

/** Holds the fields of a recipe that describe the adapter. */
export type AdapterRecipe = Pick<Recipe, Exclude<keyof AdapterConfig, keyof FileFacts>>;

export const adapterKeys = [
  ...['method', 'rank', 'alpha', 'rslora', 'dora', 'targetModules', 'excludeModules', 'layers', 'layersPattern'],
  ...['rankPattern', 'alphaPattern', 'modulesToSave', 'bias', 'dropout'],
] as (keyof AdapterRecipe)[];

/** Picks the fields of a recipe or config that describe the adapter. */
export function adapterRecipe(from: AdapterRecipe): AdapterRecipe {
  return Object.fromEntries(adapterKeys.map((key) => [key, from[key]])) as unknown as AdapterRecipe;
}

/** Builds a config from a recipe, or from an adapter of another program expressed as a recipe. */
export function adapterConfig(recipe: AdapterRecipe, facts: Partial<FileFacts> = {}): AdapterConfig {
  return { ...adapterRecipe(recipe), base: null, fanInFanOut: false, keepsTied: false, copies: [], ...facts };
}

/** Returns the config of full training: its file keeps the base alone, and all else is as usual. */
export function fullConfig(base: string | null): AdapterConfig {
  return adapterConfig({ ...defaultRecipe(), method: 'full' }, { base });
}
