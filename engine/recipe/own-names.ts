/** Translates recipes in the terms of other programs, and words what is said of a name that no field has. */
import { nearestWord } from '../nearest-word.ts';
import type { RecipeInput } from '../recipe.ts';
import { recipeFields, recipeKeys, type RecipeKey } from './fields.ts';
import { noCounterpart, otherNames } from './other-names.ts';

/** Describes an error in a recipe: the field (or unknown key) and a sentence that names the limit. */
export interface RecipeError {
  readonly key: string;
  readonly message: string;
}

/** Holds fields of earlier recipes, with the only value that is still accepted because it describes what is computed. */
const retired: Readonly<Record<string, unknown>> = { precision: 'float32' };

/**
 * Translates the names and values of PEFT, transformers and TRL into the recipe's own. An unknown name, or two names for one
 * field, is an error.
 */
export function ownNames(input: RecipeInput): {
  fields: Record<string, unknown>;
  /** Holds the name under which each field was given, by field. */
  givenAs: ReadonlyMap<string, string>;
  errors: RecipeError[];
} {
  const fields: Record<string, unknown> = {};
  const errors: RecipeError[] = [];
  const givenAs = new Map<string, string>();
  const implied: (readonly [name: string, fields: RecipeInput])[] = [];
  for (const [name, given] of Object.entries(input)) {
    if (Object.hasOwn(retired, name) && given === retired[name]) continue;
    const other = Object.hasOwn(otherNames, name) ? otherNames[name] : undefined;
    const key = other?.key ?? name;
    if (!Object.hasOwn(recipeFields, key)) {
      errors.push({ key: name, message: unknownField(name) });
      continue;
    }
    const earlier = givenAs.get(key);
    if (earlier !== undefined) {
      errors.push({ key, message: `'${earlier}' and '${name}' are the same field; give one of them.` });
      continue;
    }
    givenAs.set(key, name);
    const value = other?.read === undefined ? given : other.read(given);
    if (value === undefined)
      errors.push({ key, message: `'${name}' cannot be ${JSON.stringify(given)} here: ${valuesOf(key)}` });
    else fields[key] = value;
    if (other?.implies !== undefined) implied.push([name, other.implies(given)]);
  }
  for (const [name, others] of implied)
    for (const [key, value] of Object.entries(others)) {
      const given = givenAs.get(key);
      if (given === undefined) fields[key] = value;
      else if (fields[key] !== value)
        errors.push({
          key,
          message: `'${name}' ${String(input[name])} means '${key}' ${String(value)}, but '${given}' is given too.`,
        });
    }
  return { fields, givenAs, errors };
}

function valuesOf(key: string): string {
  const field = recipeFields[key as RecipeKey];
  if (field.kind !== 'choice') return `the field is '${key}'.`;
  return `'${key}' is one of ${[...field.choices, ...(field.pattern ? [field.pattern.written] : [])].join(', ')}.`;
}

function unknownField(name: string): string {
  if (Object.hasOwn(retired, name)) return `'${name}' can only be ${String(retired[name])}: that is what is computed.`;
  if (Object.hasOwn(noCounterpart, name)) return `A recipe has no '${name}'. ${noCounterpart[name]}`;
  const near = nearestWord(name, [...recipeKeys, ...Object.keys(otherNames)]);
  return `There is no recipe field '${name}'${near === null ? '.' : `; the nearest is '${near}'.`}`;
}
