/**
 * Defines what a recipe is: a value for every field of the table in `recipe/fields.ts`. The files of `recipe/` check what a person
 * gives, and read and write it.
 */
import type { FieldValue } from './recipe/field.ts';
import { type Fields, recipeFields, type RecipeKey, recipeKeys } from './recipe/fields.ts';

/** Describes a complete recipe, in which every field has a value. */
export type Recipe = { readonly [K in RecipeKey]: FieldValue<Fields[K]> };
type RowSettingKey = { [K in RecipeKey]: Fields[K] extends { decidesTokens: true } ? K : never }[RecipeKey];
/** Names the fields that decide which tokens a row becomes, and into which examples it is divided. */
export type RowSettings = Pick<Recipe, RowSettingKey>;
/** Holds the fields that a person gave, unchecked and maybe under other programs' names. */
export type RecipeInput = Readonly<Record<string, unknown>>;

/** Returns the recipe in which every field has its default. */
export function defaultRecipe(): Recipe {
  return Object.fromEntries(recipeKeys.map((key) => [key, recipeFields[key].default])) as unknown as Recipe;
}

/** Lists the fields of `RowSettings`. */
export const rowSettingKeys = recipeKeys.filter((key) => recipeFields[key].decidesTokens) as RowSettingKey[];

/** Returns the fields of a recipe that decide which tokens a row becomes. */
export function rowSettings(recipe: RowSettings): RowSettings {
  return Object.fromEntries(rowSettingKeys.map((key) => [key, recipe[key]])) as unknown as RowSettings;
}

/**
 * Completes a recipe that was saved when there were fewer fields. A later field gets the value that says what was done before it
 * existed, which is mostly its default. What is no longer a field is left out.
 */
export function fromSaved(saved: RecipeInput): Recipe {
  const valueOf = (key: RecipeKey): unknown => {
    const field = recipeFields[key];
    if (saved[key] !== undefined) return saved[key];
    return 'before' in field ? field.before : field.default;
  };
  return Object.fromEntries(recipeKeys.map((key) => [key, valueOf(key)])) as unknown as Recipe;
}
