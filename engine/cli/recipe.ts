/** Reads the recipe of a command line: a file, then every `--set key=value` over it. */
import { Problem } from '../problem.ts';
import type { RecipeInput } from '../recipe.ts';
import { checkRecipe, recipeProblem } from '../recipe/check.ts';
import { parseFieldText } from '../recipe/field-text.ts';
import { ownNames } from '../recipe/own-names.ts';
import { readText } from '../formats/files.ts';
import { UsageError, type Arguments } from './command.ts';

const longestFile = 1 << 20;

export function readRecipe(args: Arguments): RecipeInput {
  const file = args.text('recipe');
  const given = new Map<string, unknown>();
  for (const pair of args.list('set')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(`--set takes key=value, not '${pair}'.`);
    const key = pair.slice(0, equals);
    if (given.has(key)) throw new Problem('recipe-invalid', `--set gives '${key}' more than once.`, 'Give every field once.');
    given.set(key, parseFieldText(key, pair.slice(equals + 1)));
  }
  // They are checked separately: `--set rank` may replace a file's `r`, but neither may give both.
  const fromFile = ownNames(file === undefined ? {} : readFile(file));
  const set = ownNames(Object.fromEntries(given));
  const input = { ...fromFile.fields, ...set.fields };
  const checked = checkRecipe(input);
  const errors = [...fromFile.errors, ...set.errors, ...('errors' in checked ? checked.errors : [])];
  if (errors.length > 0)
    throw recipeProblem(errors, file === undefined ? 'Correct what --set gives.' : `Correct ${file} or what --set gives.`);
  return input;
}

function readFile(path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  const text = readText(path, longestFile);
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(
      'recipe-invalid',
      `The recipe ${path} is not JSON: ${(error as Error).message}.`,
      'It must be one JSON object such as {"rank": 16}.',
      { cause: error },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('recipe-invalid', `The recipe ${path} is not a JSON object.`, 'Write an object such as {"rank": 16}.');
  return value as Readonly<Record<string, unknown>>;
}
