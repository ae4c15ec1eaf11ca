/** Says in one sentence whether a training was worth it, and which differences the rows could have shown. */
import type { EvaluationReport, ReportedContestant, ReportedPair, ReportedPower, ReportedRow } from '../../contract.ts';
import { infoOf, isBetter, type MeasureName } from '../../measures.ts';
import { confidence } from '../statistics/interval.ts';
import { type PairedRow, pairedRows } from './paired-rows.ts';
import { rowsForMeans, rowsForShares, visibleMean, visibleShare } from '../statistics/paired.ts';

type Verdict = EvaluationReport['verdict'];

/** Says how near two contestants must be, on a scale from 0 to 1, before one does as well as the other. */
const margin = 0.05;
/** Says which share of the prompt's tokens or of the time must be saved before that is a reason to train. */
const leastSaved = 0.1;

/**
 * Judges the best trained contestant against the best other one by one measure. A difference is claimed only where its interval
 * leaves out zero and the corrected test agrees; that nothing is lost only where the interval is within the margin.
 */
export function verdictOn(
  contestants: readonly ReportedContestant[],
  pairs: readonly ReportedPair[],
  rows: readonly ReportedRow[],
  measure: MeasureName | undefined,
): Verdict {
  const trained =
    measure &&
    best(
      contestants.filter((one) => one.trained),
      measure,
    );
  const other =
    measure &&
    best(
      contestants.filter((one) => !one.trained),
      measure,
    );
  if (measure === undefined || trained === undefined || other === undefined) {
    const missing = trained === undefined ? 'nothing trained' : 'nothing else';
    return { code: 'cannot-tell', sentence: `Cannot tell: ${missing} was measured on these rows.` };
  }
  const pair = pairs.find(
    (one) => one.measure === measure && [one.a, one.b].every((n) => n === trained.name || n === other.name),
  );
  if (pair === undefined) return { code: 'cannot-tell', sentence: 'Cannot tell: no row was measured with both.' };
  const { gain, low, high } = gainOf(pair, trained.name);
  const shown = pair.corrected < 1 - confidence && (low > 0 || high < 0);
  const between = (from: number, to: number): string =>
    `${infoOf(measure).label}; 95 % interval ${amount(from, measure)} to ${amount(to, measure)}, ${pair.n} rows`;
  const what = between(low, high);
  if (shown && gain > 0) {
    const extra = savedTokens(trained, other);
    const sentence = `Worth it: ${trained.name} is ${amount(gain, measure)} better than ${other.name}, the best alternative (${what})`;
    return { code: 'worth-it', sentence: `${sentence}${extra === null ? '' : `, and saves ${extra}`}.` };
  }
  if (shown) {
    const sentence = `Not worth it: ${other.name} is ${amount(-gain, measure)} better than ${trained.name}`;
    return { code: 'not-worth-it', sentence: `${sentence} (${between(-high, -low)}), and needs no training.` };
  }
  if (isBounded(measure) && low > -margin && high < margin && pair.n > 1 && low < high) {
    // Two one-sided tests (Schuirmann 1987): the claim is not that zero is the difference, but that none as large as the margin is.
    const near = `${trained.name} and ${other.name} are equal within a margin of ${amount(margin, measure)} (${what})`;
    const saved = savedTokens(trained, other) ?? savedTime(trained, other);
    return saved === null
      ? { code: 'not-worth-it', sentence: `Not worth it: ${other.name} gets there without training; ${near}.` }
      : { code: 'speed-only', sentence: `Worth it for speed only: ${near}, and ${trained.name} saves ${saved}.` };
  }
  return { code: 'cannot-tell', sentence: `Cannot tell: ${unknownBecause(pair, rows, what)}` };
}

function best(contestants: readonly ReportedContestant[], measure: MeasureName): ReportedContestant | undefined {
  const measured = contestants.filter(({ measures }) => measures[measure] !== undefined);
  return measured.reduce<ReportedContestant | undefined>((found, one) => {
    if (found === undefined) return one;
    const [value, other] = [one.measures[measure]!.value, found.measures[measure]!.value];
    if (value !== other) return isBetter(measure, value, other) ? one : found;
    // Of equals, the one with the shorter prompt is the alternative.
    return (one.promptTokens ?? Infinity) < (found.promptTokens ?? Infinity) ? one : found;
  }, undefined);
}

/** Turns a pair so that more is better, and the trained contestant comes first. */
function gainOf({ a, measure, difference, low, high }: ReportedPair, trained: string) {
  const isTurned = (a === trained) === (infoOf(measure).better === 'lower');
  return isTurned ? { gain: -difference, low: -high, high: -low } : { gain: difference, low, high };
}

function savedTokens({ promptTokens }: ReportedContestant, other: ReportedContestant): string | null {
  if (promptTokens === null || other.promptTokens === null) return null;
  const saved = other.promptTokens - promptTokens;
  return saved < leastSaved * other.promptTokens ? null : `${Math.round(saved)} tokens of each prompt`;
}

/**
 * Says whether one reads and writes fewer tokens for an answer than the other. Seconds alone do not show who is faster: who
 * answers later, or on a busier machine, differs by as much.
 */
export function isShorter(one: TokensOfAnswer, other: TokensOfAnswer): boolean {
  const tokens = ({ promptTokens, answerTokens }: TokensOfAnswer): number => (promptTokens ?? NaN) + (answerTokens ?? NaN);
  return tokens(one) < tokens(other);
}
type TokensOfAnswer = Pick<ReportedContestant, 'promptTokens' | 'answerTokens'>;

function savedTime(trained: ReportedContestant, other: ReportedContestant): string | null {
  const { secondsPerAnswer } = trained;
  if (secondsPerAnswer === null || other.secondsPerAnswer === null || !isShorter(trained, other)) return null;
  const saved = other.secondsPerAnswer - secondsPerAnswer;
  return saved < leastSaved * other.secondsPerAnswer ? null : `${saved.toFixed(2)} seconds of each answer`;
}

function unknownBecause(pair: ReportedPair, rows: readonly ReportedRow[], what: string): string {
  const power = powerSentence(pair, pairedRows(rows, pair));
  return `the rows do not show which of ${pair.a} and ${pair.b} is better (${what}).${power === null ? '' : ` ${power}`}`;
}

// ── What rows can show ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Returns which difference so many rows can show, and how many would show a smaller one, from how often the two differ. Rows of
 * one source count once. Returns null where one row or none can tell nothing.
 */
export function powerOf(
  { measure, onlyA, onlyB, n }: Pick<ReportedPair, 'measure' | 'onlyA' | 'onlyB' | 'n'>,
  rows: readonly PairedRow[],
): ReportedPower | null {
  const independent = independentOf(rows);
  if (independent < 2) return null;
  if (onlyA !== null && onlyB !== null) {
    const discordance = (onlyA + onlyB) / n;
    const visible = visibleShare(independent, discordance);
    const smaller = smallerThan(visible);
    return { visible, smaller, rows: rowsForShares(smaller, discordance) };
  }
  const differences = rows.map((row) => row.a - row.b);
  const mean = differences.reduce((sum, one) => sum + one, 0) / differences.length;
  const deviation = Math.sqrt(differences.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (differences.length - 1));
  if (!(deviation > 0)) return null;
  const visible = visibleMean(independent, deviation);
  const smaller = isBounded(measure) ? smallerThan(visible) : visible / 2;
  return { visible, smaller, rows: rowsForMeans(smaller, deviation) };
}

/** Says in a sentence which difference the rows of a pair can show; null where they can tell nothing. */
export function powerSentence({ a, b, measure, n, power }: ReportedPair, rows: readonly PairedRow[]): string | null {
  if (power === null) return null;
  const independent = independentOf(rows);
  const counted = independent === n ? `${n} rows` : `${n} rows of ${independent} sources`;
  const { visible, smaller, rows: needed } = power;
  return `${a} and ${b}: with ${counted} a difference under ${amount(visible, measure)} cannot be seen; about ${needed} rows would show ${amount(smaller, measure)}.`;
}

function independentOf(rows: readonly PairedRow[]): number {
  return new Set(rows.map(({ source }) => source)).size;
}

/** Returns five points, or half of what can be seen where that is less. */
function smallerThan(visible: number): number {
  return visible > margin ? margin : visible / 2;
}

function isBounded(measure: MeasureName): boolean {
  return infoOf(measure).unbounded !== true;
}

/** Writes an amount of a measure: in points where the measure is from 0 to 1. */
function amount(value: number, measure: MeasureName): string {
  if (!isBounded(measure)) return value.toFixed(3);
  const points = (100 * value)
    .toFixed(Math.abs(value) < 0.0995 ? 1 : 0)
    .replace(/\.0$/, '')
    .replace(/^-0$/, '0');
  return `${points} ${points === '1' ? 'point' : 'points'}`;
}
