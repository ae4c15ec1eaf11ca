/** Finds what differs between the recipes of runs. */
import type { Run } from '../../../engine/contract.ts';
import { recipeFields, recipeKeys, type RecipeKey } from '../../../engine/recipe/fields.ts';
import { fieldText, inputText, scaleText } from '../new-run/field-text.ts';
import { dataName } from '../run/data-name.ts';

export interface Difference {
  readonly key: string;
  readonly label: string;
  /** Holds one text for each run, in the order of the runs. */
  readonly values: readonly string[];
  /** Says for each run whether its value differs from that of the majority. */
  readonly differs: readonly boolean[];
}

/** Counts the compared fields of two runs: model, data, scale s and every field of the recipe. */
export const comparedFields = recipeKeys.length + 3;

export function differences(runs: readonly Run[]): Difference[] {
  const rows: Difference[] = [];
  const add = (key: string, label: string, values: readonly string[]): void => {
    if (new Set(values).size < 2) return;
    const common = mostFrequent(values);
    rows.push({ key, label, values, differs: values.map((value) => value !== common) });
  };
  add(
    'model',
    'Model',
    runs.map((run) => run.modelName),
  );
  add('data', 'Data', runs.map(dataName));
  for (const key of recipeKeys) {
    add(key, recipeFields[key].label, recipeTexts(key, runs));
    if (key === 'alpha')
      add(
        'strength',
        'Scale s',
        runs.map((run) => (run.recipe.method === 'full' ? '–' : scaleText(run.recipe))),
      );
  }
  return rows;
}

/** Returns a field of each run as people read it, or written out exactly where different values would read the same. */
export function recipeTexts(key: RecipeKey, runs: readonly Run[]): string[] {
  const values = runs.map((run) => run.recipe[key]);
  const texts = values.map((value) => fieldText(recipeFields[key], value));
  const distinct = new Set(values.map((value) => JSON.stringify(value))).size;
  return new Set(texts).size < distinct ? values.map(inputText) : texts;
}

/** Shortens names by the beginning they share, up to a dash, dot or space: `json-r16` and `json-r8` become `r16` and `r8`. */
export function shortNames(names: readonly string[]): string[] {
  const [first = ''] = names;
  let same = 0;
  while (same < first.length && names.every((name) => name[same] === first[same])) same++;
  const start = Math.max(-1, ...['-', '_', '.', ' ', ','].map((mark) => first.lastIndexOf(mark, same - 1))) + 1;
  return same === 0 || names.length < 2 || names.some((name) => name.length <= start)
    ? [...names]
    : names.map((name) => name.slice(start));
}

/** Returns the most frequent value; of several, the one met first. */
function mostFrequent(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}
