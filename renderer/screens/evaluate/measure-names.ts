/** Names the measures in a word or two, for the heads of columns, and writes their values. */
import { infoOf, type MeasureName, partOf } from '../../../engine/measures.ts';
import { figure } from '../../ui/format.ts';

const titles: Readonly<Record<string, string>> = {
  loss: 'Loss',
  perplexity: 'Perplexity',
  'json-fields': 'Exact',
  'json-values': 'Fields',
  json: 'JSON',
  'json-schema': 'Valid',
  'json-precision': 'Precision',
  'tool-calls': 'Calls',
  contains: 'Contains',
  'not-contains': 'Free of',
  regex: 'Pattern',
  length: 'Length',
  language: 'Language',
  refusal: 'Refusals',
  'rouge-l': 'ROUGE-L',
  chrf: 'chrF2',
  markers: 'Voice',
  'style-distance': 'Style',
  'exact-match': 'Verbatim',
};

export function titleOf(measure: MeasureName): string {
  const part = partOf(measure);
  return part === null ? (titles[measure] ?? measure) : `Loss, ${part}`;
}

export function isShare(measure: MeasureName): boolean {
  return infoOf(measure).unbounded !== true;
}

/** Writes a value: in per cent with one decimal, or a loss with three. */
export function valueText(measure: MeasureName, value: number): string {
  return isShare(measure) ? `${(100 * value).toFixed(1)}\u00a0%` : value.toFixed(3);
}

/** Writes an interval without its unit: `89.0–96.0`. */
export function intervalText(measure: MeasureName, low: number, high: number): string {
  const text = (value: number): string => (isShare(measure) ? (100 * value).toFixed(1) : value.toFixed(3));
  return `${text(low)}–${text(high)}`;
}

/** Writes a difference with its sign: `+10.0`, in points where the measure is a share. */
export function differenceText(measure: MeasureName, value: number): string {
  const text = isShare(measure) ? (100 * value).toFixed(1) : value.toFixed(3);
  return `${value > 0 ? '+' : ''}${text.replace('-', '−').replace(/^−(0\.0+)$/, '$1')}`;
}

/** Writes what a p-value is: `= 0.0042`, `< 0.0001`. */
export function pText(p: number): string {
  return p < 0.0001 ? '<\u00a00.0001' : `=\u00a0${figure(p, 2)}`;
}
