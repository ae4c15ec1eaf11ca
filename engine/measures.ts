/** Defines the measures: the numbers that evaluators compute, and which of two values is the better one. */

export interface MeasureInfo {
  /** Gives the name of the measure within a sentence. */
  readonly label: string;
  readonly better: 'lower' | 'higher';
}

export const measureInfo = {
  loss: { label: 'evaluation loss', better: 'lower' },
  perplexity: { label: 'perplexity', better: 'lower' },
  'json-fields': { label: 'share of answers with exactly the expected fields', better: 'higher' },
  'json-values': { label: 'share of fields with the expected value', better: 'higher' },
  json: { label: 'share of answers that are JSON', better: 'higher' },
  'json-precision': { label: 'share of given fields that are right', better: 'higher' },
  'tool-calls': { label: 'share of answers with the right tool calls', better: 'higher' },
  contains: { label: 'share of wanted texts that are in the answer', better: 'higher' },
  'not-contains': { label: 'share of answers without unwanted texts', better: 'higher' },
  regex: { label: 'share of answers that the pattern fits', better: 'higher' },
  length: { label: 'share of answers of the right length', better: 'higher' },
  refusal: { label: 'share of answers that refuse where they should and only there', better: 'higher' },
  'rouge-l': { label: 'ROUGE-L', better: 'higher' },
  chrf: { label: 'chrF2', better: 'higher' },
  markers: { label: 'probability of the wanted voice', better: 'higher' },
  'style-distance': { label: 'distance to the style of the training answers', better: 'lower' },
  'exact-match': { label: 'share of answers that are the expected text', better: 'higher' },
} as const satisfies Readonly<Record<string, MeasureInfo>>;

export type MeasureName = keyof typeof measureInfo;

/** Holds numbers by the name of their measure. */
export type Measures = { readonly [N in MeasureName]?: number };

/** Returns whether `value` is better than `other` by this measure. */
export function isBetter(name: MeasureName, value: number, other: number): boolean {
  return measureInfo[name].better === 'lower' ? value < other : value > other;
}

/** Holds the last value of a measure, and its best value with the first step that had it. */
export interface MeasureTotal {
  readonly last: number;
  readonly best: number;
  readonly bestStep: number;
}
export type MeasureTotals = { readonly [N in MeasureName]?: MeasureTotal };

/** Adds the measures of the newest step to the totals. */
export function withMeasures(totals: MeasureTotals, step: number, measures: Measures): MeasureTotals {
  const changed = Object.entries(measures).map(([name, last]): [string, MeasureTotal] => {
    const before = totals[name as MeasureName];
    const isBest = before === undefined || isBetter(name as MeasureName, last, before.best);
    return [name, isBest ? { last, best: last, bestStep: step } : { ...before, last }];
  });
  return { ...totals, ...Object.fromEntries(changed) };
}

/**
 * Returns all that an evaluation of a run measured. Measures that this studio does not know are left out, because the folder
 * may come from another studio.
 */
export function measuresOf(evaluation: { readonly evalLoss: number; readonly measures?: Measures }): Measures {
  const known = Object.entries(evaluation.measures ?? {}).filter(([name]) => isMeasure(name));
  return { loss: evaluation.evalLoss, ...Object.fromEntries(known) };
}

/** Formats measures within a sentence: `evaluation loss 0.5312, perplexity 1.7009`. */
export function measuresText(measures: Measures): string {
  const parts = Object.entries(measures).map(
    ([name, value]) => `${measureInfo[name as MeasureName].label} ${value.toFixed(4)}`,
  );
  return parts.join(', ');
}

export function isMeasure(name: string): name is MeasureName {
  return Object.hasOwn(measureInfo, name);
}
