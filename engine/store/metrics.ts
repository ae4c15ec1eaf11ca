/**
 * Stores steps in the table `step_metrics` and evaluations as measures, and keeps the totals of both in the columns of their
 * run. A step that comes again after a resume replaces the old one. Changes belong into one transaction.
 */
import type { Database } from 'better-sqlite3';
import type { EvalMetrics, StepMetrics } from '../contract.ts';
import { measuresOf, withMeasures, type MeasureTotals } from '../measures.ts';
import { MeasureTable, type MeasuresAt, type Subject } from './measures.ts';
import { jsonObject } from './rows.ts';

/** Limits the steps of one answer, about 4 MB as JSON. */
const metricsOfPage = 20_000;

export class Metrics {
  readonly #db: Database;
  readonly #measures: MeasureTable;
  constructor(db: Database) {
    this.#db = db;
    this.#measures = new MeasureTable(db);
  }
  put(runId: string, steps: readonly StepMetrics[], evaluations: readonly EvalMetrics[]): void {
    const last = this.last(runId);
    const putStep = this.#db.prepare(
      `INSERT OR REPLACE INTO step_metrics
         (run_id, step, loss, learning_rate, gradient_norm, supervised_tokens, tokens, seconds, memory, epoch, measures)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    for (const m of steps)
      putStep.run(
        runId,
        m.step,
        m.loss,
        m.learningRate,
        m.gradientNorm,
        m.supervisedTokens,
        m.tokens,
        m.seconds,
        m.memory,
        m.epoch,
        m.measures === undefined ? null : JSON.stringify(m.measures),
      );
    const measured = evaluations.map((evaluation) => ({ step: evaluation.step, measures: measuresOf(evaluation) }));
    for (const one of measured) this.#measures.put(runAs(runId), one);
    if (areNext(steps, last.step) && areNext(evaluations, last.evaluation)) this.#addToRun(runId, steps, measured);
    else this.#countRun(runId);
  }

  /** Returns the last step and the step of the last evaluation; -1 when there is none. */
  last(runId: string): { step: number; evaluation: number } {
    const step = this.#db
      .prepare<[string], number>('SELECT ifnull(max(step), -1) FROM step_metrics WHERE run_id = ?')
      .pluck()
      .get(runId)!;
    return { step, evaluation: this.#measures.lastStep(runAs(runId)) ?? -1 };
  }

  #addToRun(runId: string, steps: readonly StepMetrics[], measured: readonly MeasuresAt[]): void {
    const addSteps = this.#db.prepare(
      `UPDATE runs SET seconds = seconds + @seconds, peak_memory = max(peak_memory, @memory), last_loss = @loss,
         warm_tokens = warm_tokens + iif(@step > 1, @tokens, 0), warm_seconds = warm_seconds + iif(@step > 1, @seconds, 0)
       WHERE id = @runId`,
    );
    for (const { step, seconds, memory, loss, tokens } of steps) addSteps.run({ runId, step, seconds, memory, loss, tokens });
    if (measured.length === 0) return;
    const before = this.#db.prepare<[string], string>('SELECT measures FROM runs WHERE id = ?').pluck().get(runId)!;
    let totals = jsonObject<MeasureTotals>('measures', before);
    for (const { step, measures } of measured) totals = withMeasures(totals, step, measures);
    this.#putTotals(runId, totals);
  }

  #putTotals(runId: string, totals: MeasureTotals): void {
    this.#db.prepare('UPDATE runs SET measures = ? WHERE id = ?').run(JSON.stringify(totals), runId);
  }

  /** Recomputes the totals of a run, because a step that was replaced or removed cannot be taken out of a maximum. */
  #countRun(runId: string): void {
    this.#db
      .prepare(
        `UPDATE runs SET
           (seconds, peak_memory, warm_tokens, warm_seconds) = (
             SELECT ifnull(sum(seconds), 0), ifnull(max(memory), 0),
               ifnull(sum(tokens) FILTER (WHERE step > 1), 0), ifnull(sum(seconds) FILTER (WHERE step > 1), 0)
             FROM step_metrics WHERE run_id = runs.id),
           last_loss = (SELECT loss FROM step_metrics WHERE run_id = runs.id ORDER BY step DESC LIMIT 1)
         WHERE id = ?`,
      )
      .run(runId);
    this.#putTotals(runId, this.#measures.totals(runAs(runId)));
  }

  steps(runId: string, afterStep: number, most = -1): StepMetrics[] {
    return this.#db
      .prepare<[string, number, number], Omit<StepMetrics, 'measures'> & { readonly measures: string | null }>(
        `SELECT step, loss, learning_rate AS learningRate, gradient_norm AS gradientNorm, supervised_tokens AS supervisedTokens,
           tokens, seconds, memory, epoch, measures
         FROM step_metrics WHERE run_id = ? AND step > ? ORDER BY step LIMIT ?`,
      )
      .all(runId, afterStep, most)
      .map(({ measures, ...step }) => (measures === null ? step : { ...step, measures: jsonObject('measures', measures) }));
  }
  evaluations(runId: string, afterStep: number, most = -1): EvalMetrics[] {
    return this.#measures.after(runAs(runId), afterStep, most).map(evaluationOf);
  }
  /**
   * Returns what was measured after a step: at most `most` steps and as many evaluations, all of them up to the last step of
   * either.
   */
  page(
    runId: string,
    afterStep: number,
    most = metricsOfPage,
  ): { steps: StepMetrics[]; evaluations: EvalMetrics[]; more: boolean } {
    const steps = this.steps(runId, afterStep, most + 1);
    const evaluations = this.evaluations(runId, afterStep, most + 1);
    const cut = Math.min(steps[most]?.step ?? Infinity, evaluations[most]?.step ?? Infinity);
    const isBefore = ({ step }: EvalMetrics | StepMetrics): boolean => step < cut;
    return { steps: steps.filter(isBefore), evaluations: evaluations.filter(isBefore), more: cut < Infinity };
  }
  /**
   * Returns the speed of the newest run of a model that measured anything, or null when there is none. The first step is left
   * out, because it also warms up.
   */
  rateOf(modelPath: string): { tokensPerSecond: number; measuredBy: string } | null {
    return (
      this.#db
        .prepare<[string], { tokensPerSecond: number; measuredBy: string }>(
          `SELECT warm_tokens / warm_seconds AS tokensPerSecond, name AS measuredBy
           FROM runs WHERE model_path = ? AND warm_seconds > 0 ORDER BY sequence DESC LIMIT 1`,
        )
        .get(modelPath) ?? null
    );
  }
  /** Removes what was measured after `step`, because a resumed run measures it again. */
  removeAfter(runId: string, step: number): void {
    this.#db.prepare('DELETE FROM step_metrics WHERE run_id = ? AND step > ?').run(runId, step);
    this.#measures.removeAfter(runAs(runId), step);
    this.#countRun(runId);
  }
}

/** Returns whether the steps of `metrics` increase and begin after `last`. */
function areNext(metrics: readonly { readonly step: number }[], last: number): boolean {
  return metrics.every(({ step }, index) => step > (index === 0 ? last : metrics[index - 1]!.step));
}

const runAs = (id: string): Subject => ({ kind: 'run', id });

function evaluationOf({ step, measures: { loss, ...others } }: MeasuresAt): EvalMetrics {
  return { step, evalLoss: loss!, ...(Object.keys(others).length === 0 ? {} : { measures: others }) };
}
