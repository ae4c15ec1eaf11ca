/** Reads and checks gates: conditions on a report that a script can rely on, such as `json-fields>=base+0.05`. */
import type { EvaluationReport } from '../contract.ts';
import { isMeasure, type MeasureName } from '../measures.ts';
import { UsageError } from './command.ts';

export interface Gate {
  readonly text: string;
  readonly measure: MeasureName;
  readonly least: boolean;
  /** Holds what stands behind the comparison: a contestant or a number, and what is added to it or taken from it. */
  readonly limit: string;
}

const form = /^([a-z-]+)\s*(>=|<=)\s*(\S.*)$/;
const offsetForm = /^(.+?)\s*([+-])\s*(\d*\.?\d+)$/;

/** Reads `MEASURE>=BASELINE+0.05`. The baseline is a contestant or a number. */
export function readGate(text: string): Gate {
  const [, measure, comparison, limit] = form.exec(text.trim()) ?? [];
  if (measure === undefined || limit === undefined)
    throw new UsageError(`--gate takes MEASURE>=BASELINE+0.05, where BASELINE is a contestant or a number, not '${text}'.`);
  if (!isMeasure(measure)) throw new UsageError(`--gate: there is no measure '${measure}'.`);
  return { text, measure, least: comparison === '>=', limit };
}

/** Throws where a gate names a contestant that is none of these, so that nothing is evaluated in vain. */
export function requireBaseline({ limit }: Gate, names: readonly string[]): void {
  readLimit(limit, names);
}

/** Returns a sentence for each trained contestant that misses the gate, or for any contestant where none was trained. */
export function missedBy({ contestants }: EvaluationReport, { text, measure, least, limit: limitText }: Gate): string[] {
  const valueOf = (name: string): number | undefined => contestants.find((one) => one.name === name)?.measures[measure]?.value;
  const { baseline, offset } = readLimit(
    limitText,
    contestants.map(({ name }) => name),
  );
  const from = typeof baseline === 'number' ? baseline : valueOf(baseline);
  if (from === undefined) return [`The gate ${text} is missed: '${baseline}' has no measure '${measure}' on these rows.`];
  const limit = from + offset;
  const trained = contestants.filter((one) => one.trained);
  return (trained.length > 0 ? trained : contestants).flatMap(({ name }) => {
    const value = valueOf(name);
    if (value === undefined) return [`${name} misses the gate ${text}: it has no measure '${measure}' on these rows.`];
    // Rounding must not miss a gate that is met exactly.
    const isMet = least ? value >= limit - 1e-12 : value <= limit + 1e-12;
    return isMet
      ? []
      : [`${name} misses the gate ${text}: ${value.toFixed(4)} is ${least ? 'below' : 'above'} ${limit.toFixed(4)}.`];
  });
}

/** Reads `BASELINE+0.05`, where the baseline is one of the contestants or a number. */
function readLimit(text: string, names: readonly string[]): { readonly baseline: string | number; readonly offset: number } {
  const known = (name: string): string | number | null => {
    if (names.includes(name)) return name;
    return Number.isNaN(Number(name)) ? null : Number(name);
  };
  // A contestant may be called `voice-2`, so the whole is tried as a name before it is taken apart.
  const whole = known(text);
  if (whole !== null) return { baseline: whole, offset: 0 };
  const [, name, sign, offset] = offsetForm.exec(text) ?? [];
  const baseline = name === undefined ? null : known(name);
  if (baseline !== null) return { baseline, offset: Number(`${sign!}${offset!}`) };
  throw new UsageError(`--gate: there is no contestant '${name ?? text}'; there are ${names.join(', ')}.`);
}
