/** The recipe of a command line: a file, then every `--set key=value` over it. */
import { Problem } from '../problem.ts';
import { checkRecipe, parseFieldText, type RecipeInput } from '../recipe.ts';
import { readText } from '../formats/files.ts';
import { UsageError, type Arguments } from './command.ts';

const longestFile = 1 << 20;

export function readRecipe(args: Arguments): RecipeInput {
  const file = args.text('recipe');
  const input: Record<string, unknown> = file === undefined ? {} : { ...readFile(file) };
  for (const pair of args.list('set')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(`--set takes key=value, not '${pair}'.`);
    const key = pair.slice(0, equals);
    input[key] = parseFieldText(key, pair.slice(equals + 1));
  }
  const checked = checkRecipe(input);
  if ('errors' in checked)
    throw new Problem(
      'recipe-invalid',
      checked.errors.map(({ message }) => message).join(' '),
      file === undefined ? 'Correct what --set gives.' : `Correct ${file} or what --set gives.`,
    );
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
    throw new Problem('recipe-invalid', `The recipe ${path} is no JSON object.`, 'Write an object such as {"rank": 16}.');
  return value as Readonly<Record<string, unknown>>;
}
