/** Tables `step_metrics` and `eval_metrics`. A step that comes again after a resume takes the place of the old one. */
import type { Database } from 'better-sqlite3';
import type { EvalMetrics, StepMetrics } from '../contract.ts';

export class Metrics {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  put(runId: string, steps: readonly StepMetrics[], evaluations: readonly EvalMetrics[]): void {
    const putStep = this.#db.prepare(
      `INSERT OR REPLACE INTO step_metrics
         (run_id, step, loss, learning_rate, gradient_norm, supervised_tokens, tokens, seconds, memory, epoch)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      );
    const putEvaluation = this.#db.prepare('INSERT OR REPLACE INTO eval_metrics (run_id, step, eval_loss) VALUES (?, ?, ?)');
    for (const m of evaluations) putEvaluation.run(runId, m.step, m.evalLoss);
  }
  steps(runId: string, afterStep: number): StepMetrics[] {
    return this.#db
      .prepare<[string, number], StepMetrics>(
        `SELECT step, loss, learning_rate AS learningRate, gradient_norm AS gradientNorm, supervised_tokens AS supervisedTokens,
           tokens, seconds, memory, epoch
         FROM step_metrics WHERE run_id = ? AND step > ? ORDER BY step`,
      )
      .all(runId, afterStep);
  }
  evaluations(runId: string, afterStep: number): EvalMetrics[] {
    return this.#db
      .prepare<[string, number], EvalMetrics>(
        'SELECT step, eval_loss AS evalLoss FROM eval_metrics WHERE run_id = ? AND step > ? ORDER BY step',
      )
      .all(runId, afterStep);
  }
  /** How fast the newest run of a model that measured anything was. Its first step also warms up, so it does not count. */
  rateOf(modelPath: string): { tokensPerSecond: number; measuredBy: string } | null {
    return (
      this.#db
        .prepare<[string], { tokensPerSecond: number; measuredBy: string }>(
          `SELECT sum(tokens) / sum(seconds) AS tokensPerSecond, runs.name AS measuredBy
           FROM runs JOIN step_metrics ON run_id = runs.id AND step_metrics.step > 1
           WHERE model_path = ? GROUP BY runs.id HAVING sum(seconds) > 0 ORDER BY sequence DESC LIMIT 1`,
        )
        .get(modelPath) ?? null
    );
  }
  /** Forgets what was measured after `step`: a resumed run measures it anew. */
  removeAfter(runId: string, step: number): void {
    this.#db.prepare('DELETE FROM step_metrics WHERE run_id = ? AND step > ?').run(runId, step);
    this.#db.prepare('DELETE FROM eval_metrics WHERE run_id = ? AND step > ?').run(runId, step);
  }
}
