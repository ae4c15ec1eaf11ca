/** Reports what a training job measures while it runs. */
import type { EvalMetrics, StepMetrics } from '../contract.ts';
import type { JobPort } from './port.ts';
import type { RunWriter } from './run-writer.ts';

/** Gives the number of latest steps whose median duration is expected of the next steps. */
const recentSteps = 20;
const millisecondsBetweenMessages = 100;

/** Writes every row to the folder at once, and tells the host of it about ten times a second at most. */
export class TrainReports {
  readonly #port: JobPort;
  readonly #folder: RunWriter;
  readonly #totalSteps: number;
  /** Holds the duration in seconds of the slowest step that was not reported yet; 0 when all were. */
  #slowest = 0;
  #durations: number[] = [];
  #sentAt = -Infinity;
  #done = 0;
  lastLoss: number | null = null;
  lastEvalLoss: number | null = null;

  constructor(port: JobPort, folder: RunWriter, steps: number) {
    this.#port = port;
    this.#folder = folder;
    this.#totalSteps = steps;
  }

  begin(done: number): void {
    this.#done = done;
    this.#sendProgress();
  }

  step(row: StepMetrics): void {
    this.#folder.step(row);
    this.#slowest = Math.max(this.#slowest, row.seconds);
    this.#durations = [...this.#durations.slice(1 - recentSteps), row.seconds];
    this.#done = row.step;
    this.lastLoss = row.loss;
    if (performance.now() - this.#sentAt >= millisecondsBetweenMessages) this.flush();
  }

  evaluating(done: number, total: number): void {
    const secondsLeft = this.#secondsLeft();
    this.#port.send({ type: 'progress', progress: { phase: 'Evaluating', done, total, unit: 'rows', secondsLeft } });
  }

  evaluation(row: EvalMetrics): void {
    this.lastEvalLoss = row.evalLoss;
    this.flush();
    this.#folder.evaluation(row);
  }

  flush(): void {
    if (this.#slowest === 0) return;
    this.#sendProgress();
    this.#port.send({ type: 'written', slowestStep: this.#slowest });
    this.#slowest = 0;
    this.#sentAt = performance.now();
  }

  #sendProgress(): void {
    const progress = {
      phase: 'Training',
      done: this.#done,
      total: this.#totalSteps,
      unit: 'steps',
      secondsLeft: this.#secondsLeft(),
    };
    this.#port.send({ type: 'progress', progress });
  }

  #secondsLeft(): number | null {
    const sorted = this.#durations.toSorted((a, b) => a - b);
    const median = sorted[sorted.length >> 1];
    return median === undefined ? null : median * (this.#totalSteps - this.#done);
  }
}
