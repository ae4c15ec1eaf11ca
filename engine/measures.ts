/** Defines the measures: the numbers that evaluators compute, and which of two values is the better one. */

export interface MeasureInfo {
  /** Gives the name of the measure within a sentence. */
  readonly label: string;
  readonly better: 'lower' | 'higher';
  /** Says that values go beyond 1. Those of all other measures are from 0 to 1. */
  readonly unbounded?: true;
}

export const measureInfo = {
  loss: { label: 'evaluation loss', better: 'lower', unbounded: true },
  perplexity: { label: 'perplexity', better: 'lower', unbounded: true },
  'json-fields': { label: 'share of answers with exactly the expected fields', better: 'higher' },
  'json-values': { label: 'share of fields with the expected value', better: 'higher' },
  json: { label: 'share of answers that are JSON', better: 'higher' },
  'json-schema': { label: 'share of answers that the schema allows', better: 'higher' },
  'json-precision': { label: 'share of given fields that are right', better: 'higher' },
  'tool-calls': { label: 'share of answers with the right tool calls', better: 'higher' },
  contains: { label: 'share of wanted texts that are in the answer', better: 'higher' },
  'not-contains': { label: 'share of answers without unwanted texts', better: 'higher' },
  regex: { label: 'share of answers that the pattern fits', better: 'higher' },
  length: { label: 'share of answers of the right length', better: 'higher' },
  language: { label: 'share of answers in the language of the question', better: 'higher' },
  refusal: { label: 'share of answers that refuse where they should and only there', better: 'higher' },
  'rouge-l': { label: 'ROUGE-L', better: 'higher' },
  chrf: { label: 'chrF2', better: 'higher' },
  markers: { label: 'probability of the wanted voice', better: 'higher' },
  'style-distance': { label: 'distance to the style of the training answers', better: 'lower', unbounded: true },
  script: { label: 'score of your own evaluator', better: 'higher' },
  choice: { label: 'share of rows whose likeliest option is right', better: 'higher' },
  brier: { label: 'Brier score of the options', better: 'lower', unbounded: true },
  'exact-match': { label: 'share of answers that are the expected text', better: 'higher' },
} as const satisfies Readonly<Record<string, MeasureInfo>>;

/** Names the evaluation loss of one part of a mix: `loss/support`. */
export type PartLoss = `loss/${string}`;

export type MeasureName = keyof typeof measureInfo | PartLoss;

const partPrefix = 'loss/';

export function partLoss(part: string): PartLoss {
  return `${partPrefix}${part}`;
}

/** Returns the part whose loss a measure is; null for every other measure. */
export function partOf(name: string): string | null {
  return name.startsWith(partPrefix) ? name.slice(partPrefix.length) : null;
}

/** Returns what a measure is called and which of two values is better. */
export function infoOf(name: MeasureName): MeasureInfo {
  const part = partOf(name);
  return part === null
    ? measureInfo[name as keyof typeof measureInfo]
    : { label: `evaluation loss of ${part}`, better: 'lower', unbounded: true };
}

/** Holds something for some of the measures, by their names. */
export type ByMeasure<T> = { readonly [N in keyof typeof measureInfo]?: T } & { readonly [N in PartLoss]: T };

/** Holds numbers by the name of their measure. */
export type Measures = ByMeasure<number>;

/** Returns whether `value` is better than `other` by this measure. */
export function isBetter(name: MeasureName, value: number, other: number): boolean {
  return infoOf(name).better === 'lower' ? value < other : value > other;
}

/** Holds the last value of a measure, and its best value with the first step that had it. */
export interface MeasureTotal {
  readonly last: number;
  readonly best: number;
  readonly bestStep: number;
}
export type MeasureTotals = ByMeasure<MeasureTotal>;

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
  const known = Object.entries(evaluation.measures ?? {}).filter(([name, value]) => isMeasure(name) && Number.isFinite(value));
  return { loss: evaluation.evalLoss, ...Object.fromEntries(known) };
}

/** Returns what was measured of each part of a mix, by its name. */
export function partTotals(totals: MeasureTotals): readonly (readonly [part: string, total: MeasureTotal])[] {
  return Object.entries(totals).flatMap(([name, total]) => {
    const part = partOf(name);
    return part === null ? [] : [[part, total] as const];
  });
}

/** Formats measures within a sentence: `evaluation loss 0.5312, perplexity 1.7009`. */
export function measuresText(measures: Measures): string {
  const parts = Object.entries(measures).map(([name, value]) => `${infoOf(name as MeasureName).label} ${value.toFixed(4)}`);
  return parts.join(', ');
}

export function isMeasure(name: string): name is MeasureName {
  return Object.hasOwn(measureInfo, name) || partOf(name) !== null;
}
