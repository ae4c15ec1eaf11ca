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

/** Returns a sentence for each trained contestant that misses the gate, or for any contestant where none was trained. */
export function missedBy({ contestants }: EvaluationReport, { text, measure, least, limit: limitText }: Gate): string[] {
  const valueOf = (name: string): number => {
    const mean = contestants.find((one) => one.name === name)?.measures[measure];
    if (mean === undefined) throw new UsageError(`--gate: '${name}' has no measure '${measure}' on these rows.`);
    return mean.value;
  };
  const limit = limitOf();
  const trained = contestants.filter((one) => one.trained);
  return (trained.length > 0 ? trained : contestants).flatMap(({ name }) => {
    const value = valueOf(name);
    // Rounding must not miss a gate that is met exactly.
    const isMet = least ? value >= limit - 1e-12 : value <= limit + 1e-12;
    return isMet
      ? []
      : [`${name} misses the gate ${text}: ${value.toFixed(4)} is ${least ? 'below' : 'above'} ${limit.toFixed(4)}.`];
  });

  function limitOf(): number {
    const isContestant = (name: string): boolean => contestants.some((one) => one.name === name);
    const known = (name: string): number | null => {
      if (isContestant(name)) return valueOf(name);
      return Number.isNaN(Number(name)) ? null : Number(name);
    };
    // A contestant may be called `voice-2`, so the whole is tried as a name before it is taken apart.
    const [, baseline, sign, offset] = offsetForm.exec(limitText) ?? [];
    const base = baseline === undefined ? null : known(baseline);
    const value = known(limitText) ?? (base === null ? null : base + Number(`${sign!}${offset!}`));
    if (value === null) throw new UsageError(`--gate: there is no contestant '${baseline ?? limitText}'.`);
    return value;
  }
}
