import type { Checkpoint, EvalMetrics, LogLine, ProblemValue, Run, Sample, StepMetrics } from '../../engine/contract.ts';
import { type Engine, problemOf } from './engine.ts';
import { mergeByStep } from './merge-by-step.ts';

/**
 * Sets the milliseconds between two redraws of the curves. A tiny model makes hundreds of steps a second, and drawing costs
 * more than a step.
 */
const redrawEvery = 400;

/** Holds everything a run has measured and written, from its first step to now. */
export class RunHistory {
  steps = $state.raw<readonly StepMetrics[]>([]);
  evaluations = $state.raw<readonly EvalMetrics[]>([]);
  samples = $state.raw<readonly Sample[]>([]);
  log = $state.raw<readonly LogLine[]>([]);
  checkpoints = $state.raw<readonly Checkpoint[]>([]);
  loading = $state(true);
  problem = $state.raw<ProblemValue | null>(null);
  readonly id: string;
  readonly #engine: Engine;
  #checkpointsAt = '';
  #waiting: { steps: StepMetrics[]; evaluations: EvalMetrics[] } | null = null;

  constructor(engine: Engine, id: string) {
    this.#engine = engine;
    this.id = id;
  }

  /** Returns the step of the newest checkpoint, or null before there is one. */
  get newestCheckpoint(): number | null {
    return this.checkpoints.length === 0 ? null : Math.max(...this.checkpoints.map(({ step }) => step));
  }

  async load(): Promise<void> {
    const id = this.id;
    try {
      const [, samples, log, checkpoints] = await Promise.all([
        this.#loadMetrics(),
        this.#engine.request('runs.samples', { id }),
        this.#engine.request('runs.log', { id }),
        this.#engine.request('runs.checkpoints', { id }),
      ]);
      // An event that arrived while the answer was on its way is newer than the answer.
      this.samples = samples.reduceRight(withSample, this.samples);
      this.log = [...log, ...this.log.filter((line) => line.at > (log.at(-1)?.at ?? 0))];
      this.checkpoints = checkpoints;
      this.problem = null;
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.loading = false;
  }

  /** Loads the curves page by page, so that those of a long run are shown as they come. */
  async #loadMetrics(): Promise<void> {
    for (let more = true, afterStep = -1; more;) {
      const page = await this.#engine.request('runs.metrics', { id: this.id, afterStep });
      // An event that arrived while the answer was on its way is newer than the answer.
      this.steps = mergeByStep(page.steps, this.steps);
      this.evaluations = mergeByStep(page.evaluations, this.evaluations);
      more = page.more;
      afterStep = Math.max(page.steps.at(-1)?.step ?? -1, page.evaluations.at(-1)?.step ?? -1);
    }
  }

  /** Adds points to the curves. Those that come in quick succession are added together. */
  addMetrics(steps: readonly StepMetrics[], evaluations: readonly EvalMetrics[]): void {
    if (this.#waiting === null) {
      this.#waiting = { steps: [], evaluations: [] };
      setTimeout(() => this.#addWaiting(), redrawEvery);
    }
    this.#waiting.steps.push(...steps);
    this.#waiting.evaluations.push(...evaluations);
  }

  #addWaiting(): void {
    const { steps, evaluations } = this.#waiting!;
    this.#waiting = null;
    this.steps = mergeByStep(this.steps, steps);
    this.evaluations = mergeByStep(this.evaluations, evaluations);
  }

  addSample(sample: Sample): void {
    this.samples = withSample(
      this.samples.filter((other) => !sameSample(other, sample)),
      sample,
    );
  }

  addLog(line: LogLine): void {
    this.log = [...this.log, line];
  }

  /** Asks for the checkpoints again when the run has moved or ended: old ones go as new ones come, and a stop leaves one without a step. */
  async refreshCheckpoints({ step, state }: Run): Promise<void> {
    const at = `${state} ${step}`;
    if (at === this.#checkpointsAt) return;
    this.#checkpointsAt = at;
    try {
      this.checkpoints = await this.#engine.request('runs.checkpoints', { id: this.id });
    } catch (error) {
      this.problem = problemOf(error);
    }
  }
}

const sameSample = (a: Sample, b: Sample): boolean => a.step === b.step && a.prompt === b.prompt;

function withSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  if (samples.some((other) => sameSample(other, sample))) return samples;
  return [...samples, sample].sort((a, b) => a.step - b.step || a.prompt - b.prompt);
}
