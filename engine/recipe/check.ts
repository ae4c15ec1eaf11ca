/** Checks a recipe that a person gave: every field individually, then the fields together. */
import { Problem } from '../problem.ts';
import { defaultRecipe, type Recipe, type RecipeInput } from '../recipe.ts';
import { checkField, type RecipeField } from './field.ts';
import { recipeFields, type RecipeKey } from './fields.ts';
import { ownNames, type RecipeError } from './own-names.ts';

/** Completes `input` with the defaults, or returns everything that is wrong with it. */
export function checkRecipe(input: RecipeInput): { recipe: Recipe } | { errors: RecipeError[] } {
  const { fields: given, givenAs, errors } = ownNames(input);
  const values: Record<string, unknown> = { ...defaultRecipe() };
  for (const [key, value] of Object.entries(given)) {
    const field = recipeFields[key as RecipeKey];
    const message = checkField(givenAs.get(key) ?? key, field, value);
    if (message === null) values[key] = fromBoolean(field, value);
    else errors.push({ key, message });
  }
  if (errors.length > 0) return { errors };
  const recipe = values as unknown as Recipe;
  const conflict = conflictOf(recipe);
  return conflict === null ? { recipe } : { errors: [conflict] };
}

/** Completes `input` with the defaults. Throws one `recipe-invalid` Problem with everything that is wrong with it. */
export function requireRecipe(input: RecipeInput): Recipe {
  const checked = checkRecipe(input);
  if ('errors' in checked) throw recipeProblem(checked.errors, 'Correct these fields; each has a default and may be left out.');
  return checked.recipe;
}

export function recipeProblem(errors: readonly RecipeError[], hint: string): Problem {
  return new Problem('recipe-invalid', errors.map(({ message }) => message).join(' '), hint);
}

/** Returns the fields of a checked recipe whose values `input` gives itself. */
export function givenFields(input: RecipeInput, recipe: Recipe): Partial<Recipe> {
  const given = Object.keys(ownNames(input).fields) as RecipeKey[];
  return Object.fromEntries(given.map((key) => [key, recipe[key]]));
}

function fromBoolean(field: RecipeField, value: unknown): unknown {
  return 'wasBoolean' in field && typeof value === 'boolean' ? (value ? field.max : field.min) : value;
}

/** Returns the error of two settings that are each possible but not together, or null where there is none. */
function conflictOf({ dora, initialization, targetModules, layers, method, baseQuantization }: Recipe): RecipeError | null {
  if (method === 'full')
    return baseQuantization === 'none'
      ? null
      : {
          key: 'baseQuantization',
          message: `'baseQuantization' cannot go with full training: every weight is trained in float32.`,
        };
  if (dora && /^(pissa|olora)/.test(initialization))
    return { key: 'initialization', message: `'initialization' ${initialization} cannot go with 'dora'.` };
  if (initialization === 'loftq' && (dora || !/bit$/.test(baseQuantization)))
    return {
      key: 'initialization',
      message: `'initialization' loftq needs 'baseQuantization' 4bit or 8bit${dora ? " and cannot go with 'dora'" : ''}.`,
    };
  if (typeof targetModules === 'string' && targetModules !== 'all-linear' && layers !== 'all')
    return { key: 'layers', message: `'layers' cannot go with a regular expression in 'targetModules', which can name them.` };
  return null;
}
