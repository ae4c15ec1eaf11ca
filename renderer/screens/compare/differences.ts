/** What differs between the recipes of runs, and nothing else. */
import type { Run } from '../../../engine/contract.ts';
import { recipeFields, recipeKeys } from '../../../engine/recipe.ts';

export interface Difference {
  readonly key: string;
  readonly label: string;
  /** One text per run, in the order of the runs. */
  readonly values: readonly string[];
  /** Whether the value is another than that of the majority. */
  readonly differs: readonly boolean[];
}

/** How many things of two runs are compared: model, data, strength s and every field of the recipe. */
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
  add(
    'data',
    'Data',
    runs.map((run) => run.datasetName),
  );
  for (const key of recipeKeys) {
    add(
      key,
      recipeFields[key].label,
      runs.map((run) => valueText(run.recipe[key])),
    );
    if (key === 'alpha')
      add(
        'strength',
        'Strength s = alpha / r',
        runs.map((run) => valueText(Number((run.recipe.alpha / run.recipe.rank).toPrecision(4)))),
      );
  }
  return rows;
}

/** A recipe's value as people write it: `2e-4`, `on`, `q_proj, v_proj`. */
export function valueText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (Array.isArray(value)) return value.join(', ');
  if (typeof value === 'number' && value !== 0 && Math.abs(value) < 0.01) {
    const [mantissa, exponent] = value.toExponential(2).split('e');
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  return value === 'all-linear' ? 'all linear' : String(value);
}

/** Names without the beginning they share, where they share one up to a dash, dot or space: `json-r16`, `json-r8` become `r16`, `r8`. */
export function shortNames(names: readonly string[]): string[] {
  const [first = ''] = names;
  let same = 0;
  while (same < first.length && names.every((name) => name[same] === first[same])) same++;
  const start = Math.max(-1, ...['-', '_', '.', ' ', ','].map((mark) => first.lastIndexOf(mark, same - 1))) + 1;
  return same === 0 || names.length < 2 || names.some((name) => name.length <= start)
    ? [...names]
    : names.map((name) => name.slice(start));
}

/** The most frequent value; of several, the one met first. */
function mostFrequent(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}
