/** The measures: what evaluators put into numbers, and which of two values is the better one. */

export interface MeasureInfo {
  /** The measure within a sentence. */
  readonly label: string;
  readonly better: 'lower' | 'higher';
}

export const measureInfo = {
  loss: { label: 'evaluation loss', better: 'lower' },
  perplexity: { label: 'perplexity', better: 'lower' },
  'json-fields': { label: 'share of answers with exactly the expected fields', better: 'higher' },
  'json-values': { label: 'share of fields with the expected value', better: 'higher' },
  'exact-match': { label: 'share of answers that are the expected text', better: 'higher' },
} as const satisfies Readonly<Record<string, MeasureInfo>>;

export type MeasureName = keyof typeof measureInfo;

/** Numbers by what they measure. */
export type Measures = { readonly [N in MeasureName]?: number };

/** Whether `value` is better than `other` as that measure counts. */
export function isBetter(name: MeasureName, value: number, other: number): boolean {
  return measureInfo[name].better === 'lower' ? value < other : value > other;
}

/** The last value of a measure, and its best with the first step that had it. */
export interface MeasureTotal {
  readonly last: number;
  readonly best: number;
  readonly bestStep: number;
}
export type MeasureTotals = { readonly [N in MeasureName]?: MeasureTotal };

/** What measures come to with those of one more step, which is the newest. */
export function withMeasures(totals: MeasureTotals, step: number, measures: Measures): MeasureTotals {
  const changed = Object.entries(measures).map(([name, last]): [string, MeasureTotal] => {
    const before = totals[name as MeasureName];
    const isBest = before === undefined || isBetter(name as MeasureName, last, before.best);
    return [name, isBest ? { last, best: last, bestStep: step } : { ...before, last }];
  });
  return { ...totals, ...Object.fromEntries(changed) };
}

/** All that an evaluation of a run measured, as far as this studio knows it: the folder may be of another one. */
export function measuresOf(evaluation: { readonly evalLoss: number; readonly measures?: Measures }): Measures {
  const known = Object.entries(evaluation.measures ?? {}).filter(([name]) => isMeasure(name));
  return { loss: evaluation.evalLoss, ...Object.fromEntries(known) };
}

/** Measures within a sentence: `evaluation loss 0.5312, perplexity 1.7009`. */
export function measuresText(measures: Measures): string {
  const parts = Object.entries(measures).map(
    ([name, value]) => `${measureInfo[name as MeasureName].label} ${value.toFixed(4)}`,
  );
  return parts.join(', ');
}

export function isMeasure(name: string): name is MeasureName {
  return Object.hasOwn(measureInfo, name);
}
