/** Makes the report that compares contestants on the same rows, from their scored answers alone. */
import { createHash } from 'node:crypto';
import type {
  BrokenMeasure,
  Calibration,
  EvaluationGuards,
  EvaluationReport,
  GeneralReport,
  MeasuredMean,
  ReportedContestant,
  ReportedPair,
  ReportedRow,
  SeedSpread,
  TrainingCost,
} from '../../contract.ts';
import { infoOf, isBetter, type MeasureName } from '../../measures.ts';
import { Problem } from '../../problem.ts';
import { bootstrapMean, type Interval, wilson } from '../statistics/interval.ts';
import { holm, mcnemar, signFlipTest } from '../statistics/paired.ts';
import { type PairedRow, pairedRows, weightOf } from './paired-rows.ts';
import { isShorter, powerOf, powerSentence, verdictOn } from './verdict.ts';

/** Holds what one contestant did with each row. */
export interface ContestantResult {
  readonly name: string;
  readonly trained: boolean;
  /** Says what its training cost, where it was trained. */
  readonly training?: TrainingCost;
  readonly calibration?: Calibration;
  /** Names what its training shares with others that differ from it in the seed alone. */
  readonly sameButSeed?: string;
  readonly rows: readonly Omit<ReportedRow, 'contestant'>[];
}

export interface ReportSettings {
  /** Lists the measures that are compared. The verdict is by the first one. */
  readonly measures: readonly MeasureName[];
  readonly hashes?: Readonly<Record<string, string>>;
  readonly notes?: readonly string[];
  readonly guards?: EvaluationGuards | null;
  readonly general?: GeneralReport | null;
  readonly seed?: number;
  readonly resamples?: number;
}

/**
 * Makes the report. It is a function of its arguments alone, and each of its numbers can be computed from its `rows`. Throws a
 * `Problem` for names that are not unique.
 */
export function evaluationReport(results: readonly ContestantResult[], settings: ReportSettings): EvaluationReport {
  const { contestants, pairs, rows, measures } = compared(results, settings);
  const by = measures[0];
  const { notes = [], guards = null, general = null } = settings;
  return {
    ...{ notes, contestants, pairs, rows },
    power: pairs.filter(({ measure }) => measure === by).flatMap((pair) => powerSentence(pair, pairedRows(rows, pair)) ?? []),
    verdict: verdictOn(contestants, pairs, rows, by),
    ...{ guards, looks: null, seeds: seedSpreads(results, contestants), general },
    hashes: { ...settings.hashes, answers: createHash('sha256').update(JSON.stringify(rows)).digest('hex') },
  };
}

/** Holds what contestants did with one part of the general set. */
export interface GeneralResult {
  readonly name: string;
  readonly title: string;
  readonly measures: readonly MeasureName[];
  readonly results: readonly ContestantResult[];
}

/** Compares adapters with the base on the parts of the general set. `base` is the name of the base. */
export function generalReport(
  parts: readonly GeneralResult[],
  settings: Omit<ReportSettings, 'measures'>,
  base: string,
): GeneralReport {
  const reports = parts.map(({ name, title, measures, results }) => {
    const { contestants, pairs, rows } = compared(results, { ...settings, measures });
    return { ...{ name, title }, contestants, pairs, rows };
  });
  const broke = reports.flatMap(({ name, title, pairs }) =>
    pairs.flatMap((pair): BrokenMeasure[] => {
      const { a, b, measure, difference, low, high, n } = pair;
      if (a !== base && b !== base) return [];
      // The difference is of the first less the second, and less of a loss is better.
      const isWorseBelow = (a === base) === (infoOf(measure).better === 'lower');
      if (isWorseBelow ? high >= 0 : low <= 0) return [];
      const contestant = a === base ? b : a;
      const what = `${infoOf(measure).label} is ${Math.abs(difference).toFixed(3)} worse than that of ${base}`;
      const interval = `95 % interval of ${a} less ${b} ${low.toFixed(3)} to ${high.toFixed(3)}`;
      return [{ part: name, contestant, measure, sentence: `${contestant}, ${title}: ${what} (${interval}, ${n} rows).` }];
    }),
  );
  return { parts: reports, broke };
}

interface Compared extends Pick<EvaluationReport, 'contestants' | 'pairs' | 'rows'> {
  readonly measures: readonly MeasureName[];
}

function compared(results: readonly ContestantResult[], settings: ReportSettings): Compared {
  const names = results.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new Problem('request-invalid', `Two contestants are called '${twice}'.`, 'Give each a name of its own.');
  // Perplexity is the exponential of the loss, and says nothing that the loss does not.
  const measures = [...new Set(settings.measures)].filter((measure) => measure !== 'perplexity');
  const summaries = results.map((result) => summaryOf(result, measures, settings));
  return {
    measures,
    contestants: withBreakEven(summaries, results, measures[0]),
    pairs: results.flatMap((a, i) => results.slice(i + 1).flatMap((b) => pairsOf(a, b, measures, settings))),
    rows: results.flatMap(({ name, rows: own }) => own.map((row) => ({ ...row, contestant: name }))),
  };
}

/** Groups trained contestants that differ in their seed alone. */
function seedSpreads(results: readonly ContestantResult[], contestants: readonly ReportedContestant[]): SeedSpread[] {
  const alike = Map.groupBy(contestants, (_, i) => results[i]!.sameButSeed);
  return [...alike].flatMap(([same, own]) => {
    if (same === undefined || own.length < 2) return [];
    const names = [...new Set(own.flatMap(({ measures }) => Object.keys(measures)))] as MeasureName[];
    const spreads = names.map((name) => {
      const values = own.flatMap(({ measures }) => measures[name]?.value ?? []);
      return [name, { least: Math.min(...values), most: Math.max(...values) }] as const;
    });
    return [{ contestants: own.map(({ name }) => name), measures: Object.fromEntries(spreads) as SeedSpread['measures'] }];
  });
}

// ── Contestants ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Summary = Omit<ReportedContestant, 'breakEvenAnswers'>;

function summaryOf(
  { name, trained, training, calibration, rows }: ContestantResult,
  measures: readonly MeasureName[],
  by: ReportSettings,
): Summary {
  const entries = measures.flatMap((measure) => {
    const scored = rows.filter(({ scores }) => scores[measure] !== undefined);
    return scored.length === 0 ? [] : [[measure, meanOf(scored, measure, by)] as const];
  });
  return {
    ...{ name, trained, training: training ?? null, calibration: calibration ?? null },
    ...{ measures: Object.fromEntries(entries) as ReportedContestant['measures'] },
    promptTokens: plainMean(rows.map(({ promptTokens }) => promptTokens)),
    answerTokens: plainMean(rows.map(({ answerTokens }) => answerTokens)),
    secondsPerAnswer: plainMean(rows.map(({ seconds }) => seconds)),
  };
}

function meanOf(
  rows: readonly Omit<ReportedRow, 'contestant'>[],
  measure: MeasureName,
  { seed, resamples }: ReportSettings,
): MeasuredMean {
  const values = rows.map(({ scores }) => scores[measure]!);
  const weights = rows.map((row) => weightOf(row, measure));
  const sources = rows.map(({ source }) => source);
  const value = weightedMean(values, weights);
  return { value, ...intervalOf(), n: rows.length };

  function intervalOf(): Interval {
    const independent = new Set(sources).size;
    const isShare = values.every((one) => one === 0 || one === 1) && measure !== 'loss';
    // Rows that are all alike leave the bootstrap nothing to draw; then only the number of sources says how much is known.
    if (isShare && (independent === rows.length || value === 0 || value === 1)) return wilson(value * independent, independent);
    return bootstrapMean(values, { sources, weights, ...drawn(seed, resamples) });
  }
}

function withBreakEven(
  contestants: readonly Summary[],
  results: readonly ContestantResult[],
  by: MeasureName | undefined,
): ReportedContestant[] {
  // Who does not train takes the fastest of the other ways.
  const fastest = contestants
    .filter(({ trained, secondsPerAnswer }) => !trained && secondsPerAnswer !== null)
    .toSorted((a, b) => a.secondsPerAnswer! - b.secondsPerAnswer!)[0];
  return contestants.map((contestant, i) => {
    const training = results[i]!.training?.seconds ?? null;
    const saved = (fastest?.secondsPerAnswer ?? 0) - (contestant.secondsPerAnswer ?? Infinity);
    const pays =
      contestant.trained && training !== null && saved > 0 && isShorter(contestant, fastest!) && !isWorse(contestant);
    return { ...contestant, breakEvenAnswers: pays ? Math.ceil(training / saved) : null };
  });

  /** Says whether the fastest of the others answers better, so that nobody would train for the time alone. */
  function isWorse({ measures }: Summary): boolean {
    if (by === undefined) return false;
    const [own, other] = [measures[by]?.value, fastest?.measures[by]?.value];
    return own !== undefined && other !== undefined && isBetter(by, other, own);
  }
}

// ── Pairs ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

function pairsOf(
  { name: a, rows: rowsA }: ContestantResult,
  { name: b, rows: rowsB }: ContestantResult,
  measures: readonly MeasureName[],
  { seed, resamples }: ReportSettings,
): ReportedPair[] {
  const both = [...rowsA.map((row) => ({ ...row, contestant: a })), ...rowsB.map((row) => ({ ...row, contestant: b }))];
  const pairs = measures.flatMap((measure) => {
    const rows = pairedRows(both, { a, b, measure });
    return rows.length === 0 ? [] : [pairOf(measure, rows)];
  });
  const corrected = holm(pairs.map(({ p }) => p));
  return pairs.map((pair, i) => ({ ...pair, corrected: corrected[i]! }));

  function pairOf(measure: MeasureName, rows: readonly PairedRow[]): Omit<ReportedPair, 'corrected'> {
    const isShare = measure !== 'loss' && rows.every((row) => [row.a, row.b].every((score) => score === 0 || score === 1));
    const count = (scoreA: number, scoreB: number): number => rows.filter((row) => row.a === scoreA && row.b === scoreB).length;
    const table = isShare ? { both: count(1, 1), onlyA: count(1, 0), onlyB: count(0, 1), neither: count(0, 0) } : noTable;
    const differences = rows.map((row) => row.a - row.b);
    const sources = rows.map(({ source }) => source);
    const weights = rows.map(({ weight }) => weight);
    const exact = isShare ? mcnemar(table.onlyA!, table.onlyB!) : null;
    const independent = new Set(sources).size === rows.length;
    const weighed = differences.map((difference, i) => difference * weights[i]!);
    const p = exact !== null && independent ? exact : signFlipTest(weighed, { sources, ...drawn(seed, resamples) });
    const difference = weightedMean(differences, weights);
    const interval =
      (isShare ? alikeInterval(differences, new Set(sources).size) : null) ??
      bootstrapMean(differences, { sources, weights, ...drawn(seed, resamples) });
    const pair = { ...{ a, b, measure, n: rows.length }, ...table, mcnemar: exact, p, difference, ...interval };
    return { ...pair, power: powerOf(pair, rows) };
  }
}

/**
 * Returns the interval of differences of rights and wrongs that are the same in each row, or null where they vary. The bootstrap
 * would say that nothing can be otherwise; how often another difference may be is that of an event that never came.
 */
function alikeInterval(differences: readonly number[], independent: number): Interval | null {
  const [difference] = differences;
  if (differences.some((one) => one !== difference)) return null;
  const otherwise = wilson(0, independent).high;
  return { low: Math.max(-1, difference! - otherwise), high: Math.min(1, difference! + otherwise) };
}

const noTable = { both: null, onlyA: null, onlyB: null, neither: null };

function drawn(seed = 0, resamples = 10_000): { seed: number; resamples: number } {
  return { seed, resamples };
}

function weightedMean(values: readonly number[], weights: readonly number[]): number {
  const sum = values.reduce((total, value, i) => total + value * weights[i]!, 0);
  return sum / weights.reduce((total, weight) => total + weight, 0);
}

function plainMean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}
