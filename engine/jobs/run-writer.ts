/** Writes the folder of a training run, whose form is in run-folder.ts. */
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { AdapterDescription, Checkpoint, EvalMetrics, ProblemValue, Sample, StepMetrics } from '../contract.ts';
import { makeFolder, writeFileAtomic } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { logError, Problem } from '../problem.ts';
import { LineFile, removedMeanwhile } from './line-file.ts';
import {
  adapterIn,
  checkpointsIn,
  type EndEvent,
  type EvaluatedRows,
  eventsIn,
  isLeftover,
  type LogEvent,
  metricsIn,
  readMetricRows,
  readRunRecord,
  recordIn,
  rowLossesIn,
  runContent,
  type RunEvent,
  type RunRecord,
} from './run-folder.ts';
import { alreadyTraining, releaseRunLock, takeRunLock } from './run-lock.ts';

/** Writes what one session of a run records in its folder. */
export class RunWriter {
  readonly path: string;
  readonly adapter: string;
  readonly checkpoints: string;
  readonly #record: string;
  readonly #onWritten: () => void;
  #isWritten = false;
  /** Says what to remove if the run does not reach its first step, or is null for a resumed run. */
  #begun: { readonly madeFolder: boolean } | null = null;
  /** Holds the lines that were logged before the session began. */
  readonly #said: LogEvent[] = [];
  #metrics: LineFile | null = null;
  #events: LineFile | null = null;
  #isHeld = false;
  #evaluated: ReadonlySet<number> = new Set();
  /** Gives the loss of the newest evaluation, of this session or an earlier one, or null when there is none. */
  #evalLoss: number | null = null;

  /**
   * Names the folder without touching it. `onWritten` is called after everything that is added, except after steps, because
   * there are very many.
   */
  constructor(path: string, onWritten = (): void => {}) {
    this.path = path;
    this.adapter = adapterIn(path);
    this.checkpoints = checkpointsIn(path);
    this.#record = recordIn(path);
    this.#onWritten = onWritten;
  }

  /**
   * Locks the folder until `close`, so that no other job writes a run to it, whichever data folder that job works for. It must
   * be called before anything in the folder is changed, and before `open` for a run that is resumed. Throws a `Problem` when
   * another job holds the lock.
   */
  async hold(): Promise<void> {
    if (this.#isHeld) return;
    try {
      makeFolder(this.path);
      if (!(await takeRunLock(this.path))) throw alreadyTraining(this.path);
    } catch (cause) {
      throw cause instanceof Problem ? cause : toWriteProblem(this.path, cause);
    }
    this.#isHeld = true;
    if (this.#begun !== null && runContent(this.path).length > 0) {
      this.close();
      throw notEmpty(this.path);
    }
    this.#removeLeftovers();
  }

  /**
   * Opens the folder. Returns what an earlier session of the run recorded, or null for a new run, whose folder must be empty or
   * not exist.
   */
  open(resume: boolean): RunRecord | null {
    const isThere = existsSync(this.path);
    if (isThere && !statSync(this.path).isDirectory())
      throw new Problem('folder-unwritable', `'${this.path}' is a file, not a folder.`, 'Choose another folder for the run.');
    if (resume) {
      if (!existsSync(this.#record))
        throw new Problem(
          'checkpoint-missing',
          `There is no run to resume in '${this.path}'.`,
          'Start a new run without resuming, or give the folder of an earlier run.',
        );
      return readRunRecord(this.path);
    }
    if (isThere && runContent(this.path).length > 0) throw notEmpty(this.path);
    this.#begun = { madeFolder: !isThere };
    return null;
  }

  #removeLeftovers(): void {
    for (const name of readdirSync(this.path)) if (isLeftover(name)) rmSync(join(this.path, name), { recursive: true });
  }

  /**
   * Empties the folder of a new run that failed before its first step. The folder did not cause the failure, so it can be used
   * again.
   */
  discardUnbegun(): void {
    if (this.#begun === null || !this.#isHeld || !existsSync(this.#record) || existsSync(this.checkpoints)) return;
    const metrics = metricsIn(this.path);
    if (existsSync(metrics) && readMetricRows(metrics).some((row) => 'loss' in row)) return;
    this.#closeFiles();
    for (const file of [this.#record, metrics, eventsIn(this.path), rowLossesIn(this.path)]) rmSync(file, { force: true });
    this.#removeLeftovers();
    this.close();
    if (this.#begun.madeFolder && readdirSync(this.path).length === 0) rmdirSync(this.path);
  }

  write(record: RunRecord): void {
    if (this.#isWritten) this.requireThere();
    try {
      makeFolder(this.path);
      this.#isWritten = true;
      writeFileAtomic(this.#record, JSON.stringify(record, null, 2) + '\n');
    } catch (cause) {
      throw toWriteProblem(this.path, cause);
    }
  }

  /**
   * Refuses to continue in a folder that was removed since it was written: some of its files would be made again without the
   * rest.
   */
  requireThere(): void {
    if (!existsSync(this.#record)) throw removedMeanwhile(this.path);
  }

  /** Begins a session after `step` steps, and cuts metrics.jsonl back to them. The record must have been written before. */
  begin(step: number, longest: number): void {
    const path = metricsIn(this.path);
    const kept = existsSync(path) ? readMetricRows(path).filter((row) => row.step <= step) : [];
    const evaluations = kept.filter((row) => 'evalLoss' in row);
    this.#evaluated = new Set(evaluations.map((row) => row.step));
    this.#evalLoss = evaluations.at(-1)?.evalLoss ?? null;
    try {
      writeFileAtomic(path, kept.map((row) => JSON.stringify(row) + '\n').join(''));
    } catch (cause) {
      throw toWriteProblem(path, cause);
    }
    this.#metrics = new LineFile(path);
    this.#events = new LineFile(eventsIn(this.path));
    this.#add({ type: 'begin', at: Date.now(), step, longest });
    for (const event of this.#said.splice(0)) this.#add(event);
  }

  #add(event: RunEvent): void {
    this.#events!.add(event);
    this.#onWritten();
  }

  /** Adds a line to the log of the run, also before the session has begun. */
  log(text: string): void {
    const event: LogEvent = { type: 'log', at: Date.now(), text };
    if (this.#events === null) this.#said.push(event);
    else this.#add(event);
  }

  sample(sample: Sample): void {
    this.#add({ type: 'sample', at: Date.now(), sample });
  }

  checkpoint({ step, path, bytes, createdAt }: Checkpoint): void {
    this.#add({ type: 'checkpoint', at: createdAt, step, name: basename(path), bytes });
  }

  /** Records the adapter that the run has left in its folder after `step` steps. */
  published(step: number, adapter: AdapterDescription): void {
    this.#add({ type: 'adapter', at: Date.now(), step, evalLoss: this.#evalLoss, adapter });
  }

  step(row: StepMetrics): void {
    this.#metrics!.add(row);
  }

  evaluation(row: EvalMetrics): void {
    this.#metrics!.add(row);
    this.#evalLoss = row.evalLoss;
    this.#onWritten();
  }

  /** Writes the losses of the rows of the newest evaluation. */
  rowLosses(losses: EvaluatedRows): void {
    this.requireThere();
    const path = rowLossesIn(this.path);
    try {
      writeFileAtomic(path, JSON.stringify(losses));
    } catch (cause) {
      throw toWriteProblem(path, cause);
    }
  }

  /** Returns whether the evaluation after this step was in the folder when the session began. */
  hasEvaluation(step: number): boolean {
    return this.#evaluated.has(step);
  }

  /**
   * Flushes the steps to the disk. It is called before a checkpoint is saved, so that the folder has every step that a
   * checkpoint covers.
   */
  flush(): void {
    this.#metrics!.flush();
  }

  /** Records how the session ended, if it had begun. When the disk is full, only the process reports it. */
  end(state: EndEvent['state'], problem: ProblemValue | null): void {
    if (this.#events === null || !existsSync(this.#record)) return;
    try {
      this.#add({ type: 'end', at: Date.now(), state, problem });
    } catch (error) {
      logError(error);
    }
  }

  #closeFiles(): void {
    this.#metrics?.close();
    this.#events?.close();
    this.#metrics = this.#events = null;
  }

  close(): void {
    this.#closeFiles();
    if (this.#isHeld) releaseRunLock(this.path);
    this.#isHeld = false;
  }
}

function notEmpty(path: string): Problem {
  return new Problem('folder-not-empty', `'${path}' is not empty.`, 'Choose another folder, or resume the run that is in it.');
}
