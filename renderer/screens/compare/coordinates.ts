/** Lays runs out as lines over parallel axes: one for each field of the recipe that differs, and for what was measured. */
import type { Run } from '../../../engine/contract.ts';
import { recipeFields, recipeKeys } from '../../../engine/recipe/fields.ts';
import { bytes, duration, loss } from '../../ui/format.ts';
import { recipeTexts } from './differences.ts';

export interface Dimension {
  readonly key: string;
  readonly label: string;
  /** Returns where a run is on the axis, from 0 at the bottom to 1 at the top, or null where it has no value yet. */
  readonly at: (run: Run) => number | null;
  readonly text: (run: Run) => string;
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
}
/** Gives the selected range of each axis, by key, from its lower to its upper end. */
export type Brushes = Readonly<Record<string, readonly [from: number, to: number]>>;

/** Limits how many fields of the recipe get an axis, because more could not be read. */
const mostFields = 5;
/**
 * Sets the ratio of largest to smallest value from which an axis is logarithmic. Linear steps would press most runs together at
 * its bottom.
 */
const logarithmicFrom = 6;

export function dimensions(runs: readonly Run[]): Dimension[] {
  const fields = recipeKeys
    .map((key) => ({ key, texts: recipeTexts(key, runs) }))
    .filter(({ texts }) => new Set(texts).size > 1)
    .slice(0, mostFields)
    .map(({ key, texts }) => {
      const valueOf = (run: Run) => run.recipe[key];
      return dimension(key, recipeFields[key].label, runs, valueOf, (value) => texts[runs.map(valueOf).indexOf(value)]!);
    });
  const measured = [
    dimension('memory', 'Peak memory', runs, (run) => run.peakMemory || null, bytes),
    dimension('time', 'Time', runs, (run) => run.seconds || null, duration),
    // The better loss is higher.
    upsideDown(dimension('loss', 'Eval loss', runs, (run) => run.measures.loss?.last ?? null, loss)),
  ].filter(({ ticks }) => ticks.length > 0);
  return [...fields, ...measured];
}

/** Says whether a run lies within every brush. One without a value on a brushed axis does not. */
export function isWithin(run: Run, all: readonly Dimension[], brushes: Brushes): boolean {
  return all.every(({ key, at }) => {
    const brush = brushes[key];
    if (brush === undefined) return true;
    const place = at(run);
    return place !== null && place >= brush[0] && place <= brush[1];
  });
}

function dimension<Value>(
  key: string,
  label: string,
  runs: readonly Run[],
  valueOf: (run: Run) => Value,
  format: (value: NonNullable<Value> & number) => string,
): Dimension {
  const values = runs.map(valueOf).filter((value) => value !== null && value !== undefined);
  const text = (run: Run): string => {
    const value = valueOf(run);
    return value === null || value === undefined ? '–' : format(value as never);
  };
  return values.every((value) => typeof value === 'number')
    ? ofNumbers(key, label, values, (run) => valueOf(run) as number | null, text, format as (value: number) => string)
    : ofWords(key, label, runs, text);
}

function ofNumbers(
  key: string,
  label: string,
  values: readonly number[],
  valueOf: (run: Run) => number | null,
  text: (run: Run) => string,
  format: (value: number) => string,
): Dimension {
  const finite = values.filter(Number.isFinite);
  const [least, most] = [Math.min(...finite), Math.max(...finite)];
  const scale = least > 0 && most / least >= logarithmicFrom ? Math.log : (value: number) => value;
  const span = scale(most) - scale(least);
  const place = (value: number): number => (span === 0 ? 0.5 : (scale(value) - scale(least)) / span);
  return {
    key,
    label,
    text,
    at: (run) => {
      const value = valueOf(run);
      return value === null || !Number.isFinite(value) ? null : place(value);
    },
    ticks: apart([...new Set(finite)].map((value) => ({ at: place(value), text: format(value) }))),
  };
}

function ofWords(key: string, label: string, runs: readonly Run[], text: (run: Run) => string): Dimension {
  const words = [...new Set(runs.map(text))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const place = (word: string): number => (words.length === 1 ? 0.5 : words.indexOf(word) / (words.length - 1));
  return {
    key,
    label,
    text,
    at: (run) => place(text(run)),
    ticks: apart(words.map((word) => ({ at: place(word), text: word }))),
  };
}

const upsideDown = (one: Dimension): Dimension => ({
  ...one,
  at: (run) => {
    const place = one.at(run);
    return place === null ? null : 1 - place;
  },
  ticks: one.ticks.map(({ at, text }) => ({ at: 1 - at, text })),
});

/** Leaves out ticks that would be written over one another, the two ends last. */
function apart(ticks: readonly { at: number; text: string }[]): { at: number; text: string }[] {
  const least = 0.14;
  const kept: { at: number; text: string }[] = [];
  for (const tick of ticks.toSorted((a, b) => Math.min(a.at, 1 - a.at) - Math.min(b.at, 1 - b.at)))
    if (kept.every((other) => Math.abs(other.at - tick.at) >= least)) kept.push(tick);
  return kept;
}
