/**
 * Writes and reads the folder of a training run: `run.json`, `metrics.jsonl`, `events.jsonl`, `checkpoints/` and `adapter/`.
 * The folder is the only record of the run: the trainer writes it, here or on another machine, and the host follows it
 * (run-news.ts).
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type {
  AdapterAt,
  AdapterDescription,
  Checkpoint,
  ColumnMapping,
  DataChange,
  DataFormat,
  EvalMetrics,
  MetricRow,
  ProblemValue,
  Provider,
  Sample,
  StepMetrics,
  VersionName,
} from '../contract.ts';
import { type Day, dayOf } from '../data/day.ts';
import { fileIn, makeFolder, readText, writeFileAtomic } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { isAlive, type LockHolder, lockHolder, processIdentity, releaseLock, takeLock } from '../lock.ts';
import { logError, Problem } from '../problem.ts';
import { fromSaved, type Recipe } from '../recipe.ts';
import type { Versions } from '../versions.ts';
import { LineFile, removedMeanwhile } from './line-file.ts';

/** Describes the content of run.json: everything needed to make the run again. */
export interface RunRecord {
  readonly version: 1;
  readonly recipe: Recipe;
  /** Gives the date that chat templates print; records of earlier versions have none. */
  readonly day?: Day;
  readonly base: BaseRecord;
  /** Holds the adapter that the run started from; null when it started from a new one. */
  readonly startedFrom: {
    readonly path: string;
    /**
     * Gives the SHA-256 of the file with its weights, which its version and lineages have too; of both files together when
     * `configHash` is missing.
     */
    readonly hash: string;
    /** Gives the SHA-256 of its config; null when that is in the same file. Records of earlier versions have none. */
    readonly configHash?: string | null;
  } | null;
  readonly data: DataRecord;
  readonly evaluation: DataRecord | null;
  /**
   * Gives the SHA-256 of the tokenizer's files; null when the model has none of its own. Records of earlier versions have none.
   */
  readonly tokenizerHash?: string | null;
  /** Gives the SHA-256 of the chat template; null when there is none. */
  readonly templateHash: string | null;
  readonly device: { readonly provider: Provider; readonly name: string; readonly threads: number };
  readonly versions: Versions;
  /**
   * Says how the run was resumed differently from how it began, in sentences; its bits may not be those of a run without a
   * break.
   */
  readonly notExact: readonly string[];
  readonly totalSteps: number;
  readonly trainableParameters: number;
  readonly startedAt: string;
  /** Says when the run was finished; null while it trains and after a stop. */
  readonly finishedAt: string | null;
}
export interface BaseRecord {
  readonly path: string;
  readonly name: string;
  readonly family: string;
  /** Gives the SHA-256 over the weight files. */
  readonly hash: string;
  /**
   * Gives the SHA-256 of config.json; null for a GGUF, which has it among its weights. Records of earlier versions have none.
   */
  readonly configHash?: string | null;
}
export interface DataRecord {
  readonly paths: readonly string[];
  /** Says what the fields of a row mean; left out when the format says it. */
  readonly mapping?: ColumnMapping;
  /**
   * Says what was done to the rows of the files, among it how they were split; left out where all rows of the files were read.
   */
  readonly changes?: readonly DataChange[];
  /** Holds the version of the data set; left out when files were named by their paths, and in records of earlier versions. */
  readonly version?: VersionName;
  /** Gives the SHA-256 of all files. */
  readonly hash: string;
  /** Holds the SHA-256 of each file, in their order; records of earlier versions have none. */
  readonly hashes?: readonly string[];
  /** Gives the SHA-256 of the token ids and labels of the rows in their order; records of earlier versions have none. */
  readonly tokensHash?: string;
  readonly format: DataFormat;
  /** Gives the number of rows that were used. */
  readonly rows: number;
  /** Gives the number of examples: several for a conversation if the chat template writes earlier turns differently. */
  readonly examples: number;
  /** Gives the number of rows that could not be used. */
  readonly skipped: number;
  /** Gives the number of examples truncated to the maximum length. */
  readonly truncated: number;
  /** Gives the number of examples whose supervised tokens were all cut off. */
  readonly withoutTarget: number;
}

/** Is a line of events.jsonl. Lines are only ever added. */
export type RunEvent = BeginEvent | LogEvent | SampleEvent | CheckpointEvent | AdapterEvent | EndEvent;
/**
 * The run begins, or is resumed from the checkpoint of `step`: what was written before about later steps no longer counts. By
 * then run.json says how the run continues, and metrics.jsonl was cut back to that step, so it has to be read from its start
 * again.
 */
export interface BeginEvent {
  readonly type: 'begin';
  /** Gives the time in UTC milliseconds, as in every event. */
  readonly at: number;
  /** Gives the step that the session begins after; 0 for a new run. */
  readonly step: number;
  /** Gives the number of tokens of the longest row. */
  readonly longest: number;
}
/** A person should know this of the run; the text is one or more sentences. */
export interface LogEvent {
  readonly type: 'log';
  readonly at: number;
  readonly text: string;
}
/** The model has answered one of the fixed evaluation prompts. */
export interface SampleEvent {
  readonly type: 'sample';
  readonly at: number;
  readonly sample: Sample;
}
/** A checkpoint is whole on the disk, and metrics.jsonl holds every step up to it. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly at: number;
  readonly step: number;
  /** Gives the name of its folder in `checkpoints/`. */
  readonly name: string;
  readonly bytes: number;
}
/** The run has come to its end, and its adapter is whole in `adapter/`, where it replaces that of an earlier end. */
export interface AdapterEvent {
  readonly type: 'adapter';
  readonly at: number;
  /** Gives the number of steps that it was trained for. */
  readonly step: number;
  /** Gives the loss of the last evaluation; null when there was none. */
  readonly evalLoss: number | null;
  readonly adapter: AdapterDescription;
}
/** The session has ended by itself. A process that was killed writes no such event. */
export interface EndEvent {
  readonly type: 'end';
  readonly at: number;
  readonly state: 'done' | 'stopped' | 'failed';
  /** Says why the session failed; null when it did not. */
  readonly problem: ProblemValue | null;
}

const maxRecordBytes = 1 << 22;

/** Matches what a killed job left half written. */
const isLeftover = (name: string): boolean => /^((run\.json|metrics\.jsonl)?\.partial-|run\.lock\.)/.test(name);

/** Lists what is in a folder, except what a job that was killed at its very start may have left. */
export function runContent(path: string): string[] {
  return readdirSync(path).filter((name) => !isLeftover(name) && name !== 'run.lock');
}

const lockIn = (path: string): string => join(path, 'run.lock');

/**
 * Returns whether a job trains in a folder for a living host, this one or that of another data folder. A job without its host is
 * ending.
 */
export function isTraining(path: string): boolean {
  const holder = lockHolder(lockIn(path));
  // Where the system does not tell when a process started, another one may have its number: the job itself finds out.
  return holder !== null && holder.started !== null && !isLeft(holder);
}

const isLeft = ({ host }: LockHolder): boolean => host !== undefined && !isAlive(host);

/** Refuses to touch a folder in which a run trains. */
export function requireNoTraining(path: string): void {
  if (isTraining(path)) throw alreadyTraining(path);
}

export function alreadyTraining(path: string): Problem {
  return new Problem('not-allowed', `A run is already training in ${path}.`, 'Stop it first, or choose another folder.');
}

/** Says how long a job without its host may take to end. */
const millisecondsToBeGone = 5000;

/** Returns the name of the pipe that locks a run's folder on Windows; it does not depend on how the path is written. */
function pipeOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `\\\\.\\pipe\\lowrank-run-${dev}-${ino}`;
}

/** Returns whether a folder holds a run that can be resumed. */
export const holdsRun = (path: string): boolean => existsSync(join(path, 'run.json'));

export const metricsIn = (path: string): string => join(path, 'metrics.jsonl');
export const eventsIn = (path: string): string => join(path, 'events.jsonl');
export const checkpointsIn = (path: string): string => join(path, 'checkpoints');
export const adapterIn = (path: string): string => join(path, 'adapter');

/** Writes what one session of a run records in its folder. */
export class RunFolder {
  readonly path: string;
  readonly adapter: string;
  readonly checkpoints: string;
  readonly #record: string;
  readonly #onWritten: () => void;
  #isWritten = false;
  /** Says what to remove if the run does not reach its first step; null for a resumed run. */
  #begun: { readonly madeFolder: boolean } | null = null;
  /** Lists the lines of the log from before the session began. */
  readonly #said: LogEvent[] = [];
  #metrics: LineFile | null = null;
  #events: LineFile | null = null;
  #isHeld = false;
  #evaluated: ReadonlySet<number> = new Set();
  /** Gives the loss of the newest evaluation, of this session or an earlier one; null when there is none. */
  #evalLoss: number | null = null;

  /**
   * Names the folder without touching it. `onWritten` is called after everything that is added except steps, of which there are
   * very many.
   */
  constructor(path: string, onWritten = (): void => {}) {
    this.path = path;
    this.adapter = adapterIn(path);
    this.checkpoints = checkpointsIn(path);
    this.#record = join(path, 'run.json');
    this.#onWritten = onWritten;
  }

  /**
   * Holds the folder until `close`, so that no other job writes a run to it, whichever data folder it works for. Must be called
   * before anything in the folder is changed, and before `open` for a run that is resumed. Throws a Problem when another job
   * holds it.
   */
  async hold(): Promise<void> {
    if (this.#isHeld) return;
    try {
      makeFolder(this.path);
      if (!(await this.#take())) throw alreadyTraining(this.path);
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

  async #take(): Promise<boolean> {
    const lock = lockIn(this.path);
    const host = processIdentity(process.ppid);
    for (const since = performance.now(); ; await setTimeout(50)) {
      if (await takeLock(lock, pipeOf(this.path), host)) return true;
      const holder = lockHolder(lock);
      if (holder !== null && !isLeft(holder)) return false;
      if (performance.now() - since > millisecondsToBeGone) return false;
    }
  }

  /**
   * Opens the folder. Returns what an earlier session of the run recorded; null for a new run, whose folder must be empty or
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
          `There is no run in '${this.path}' to go on with.`,
          'Start it without resuming, or give the folder of an earlier run.',
        );
      return parseRecord(this.#record);
    }
    if (isThere && runContent(this.path).length > 0) throw notEmpty(this.path);
    this.#begun = { madeFolder: !isThere };
    return null;
  }

  #removeLeftovers(): void {
    for (const name of readdirSync(this.path)) if (isLeftover(name)) rmSync(join(this.path, name), { recursive: true });
  }

  /**
   * Empties the folder of a new run that failed before its first step. The failure has other causes than the folder, so it can
   * be used again.
   */
  discardUnbegun(): void {
    if (this.#begun === null || !this.#isHeld || !existsSync(this.#record) || existsSync(this.checkpoints)) return;
    const metrics = metricsIn(this.path);
    if (existsSync(metrics) && readMetricRows(metrics).some((row) => 'loss' in row)) return;
    this.#closeFiles();
    for (const file of [this.#record, metrics, eventsIn(this.path)]) rmSync(file, { force: true });
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

  /** Returns whether the evaluation after this step was in the folder when the session began. */
  hasEvaluation(step: number): boolean {
    return this.#evaluated.has(step);
  }

  /**
   * Flushes the steps to the disk. It is called before a checkpoint, so that no checkpoint is of a step that the folder does
   * not have.
   */
  flush(): void {
    this.#metrics!.flush();
  }

  /** Records how the session has ended, if it had begun. When the disk takes no more, only the process tells. */
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
    if (this.#isHeld) releaseLock(lockIn(this.path));
    this.#isHeld = false;
  }
}

function notEmpty(path: string): Problem {
  return new Problem('folder-not-empty', `'${path}' is not empty.`, 'Choose another folder, or resume the run that is in it.');
}

/** Reads run.json. Throws a Problem when it is missing or damaged. */
export function readRunRecord(path: string): RunRecord {
  return parseRecord(join(path, 'run.json'));
}

/** Holds what a run has recorded in its folder. */
export interface RecordedRun {
  readonly record: RunRecord;
  readonly evaluations: readonly EvalMetrics[];
}

/** Reads what a run has recorded in a folder, without touching it; returns null when no record can be read. */
export function readRunFolder(path: string): RecordedRun | null {
  try {
    const [run, metrics] = [fileIn(path, 'run.json'), fileIn(path, 'metrics.jsonl')];
    if (run === null) return null;
    return {
      record: parseRecord(run),
      evaluations: metrics === null ? [] : readMetricRows(metrics).filter((row) => 'evalLoss' in row),
    };
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/**
 * Reads what the run of an adapter has recorded; returns null when no record can be read. `runFolder` is the folder of that
 * run, if it is known.
 */
export function runOfAdapter({ path, runFolder = folderBeside(path) }: Omit<AdapterAt, 'weight'>): RecordedRun | null {
  return readRunFolder(runFolder);
}

/** Returns the folder of the run that would have left an adapter at this path, at its end or in a checkpoint. */
function folderBeside(path: string): string {
  const folder = dirname(resolve(path));
  return basename(folder) === 'checkpoints' ? dirname(folder) : folder;
}

/**
 * Returns the date of a run for chat templates. A run of an earlier version has the day on which it began; undefined when that
 * is not known either.
 */
export function dayOfRun({ day, startedAt }: Pick<RunRecord, 'day' | 'startedAt'>): Day | undefined {
  const began = Date.parse(startedAt);
  return day ?? (Number.isNaN(began) ? undefined : dayOf(began));
}

/** Returns the date of the run that trained an adapter, so that the adapter is evaluated with the tokens it was trained on. */
export function dayOfAdapter(path: string | null | undefined): Day | undefined {
  const run = path == null ? null : runOfAdapter({ path });
  return run === null ? undefined : dayOfRun(run.record);
}

function parseRecord(path: string): RunRecord {
  try {
    const record = JSON.parse(readText(path, maxRecordBytes)) as RunRecord;
    if (isRecord(record)) return { ...record, recipe: fromSaved(record.recipe) };
  } catch (error) {
    if (error instanceof Problem && error.code !== 'file-damaged') throw error;
  }
  throw new Problem('file-damaged', `'${path}' is not sound.`, 'Start the run again in another folder.');
}

function isRecord({ version, recipe, base, data, evaluation, totalSteps, trainableParameters }: RunRecord): boolean {
  return (
    version === 1 &&
    typeof (recipe ?? 1) === 'object' &&
    [base.hash, data.hash, ...data.paths].every((text) => typeof text === 'string') &&
    [totalSteps, trainableParameters, data.rows, evaluation?.rows ?? 0].every(Number.isFinite)
  );
}

/** Reads the rows of a metrics file. Lines that are not whole, such as the last one after a crash, are left out. */
function readMetricRows(path: string): MetricRow[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line) => {
    try {
      const row = line === '' ? null : (JSON.parse(line) as MetricRow | null);
      return Number.isFinite(row?.step) && (!('evalLoss' in row!) || Number.isFinite(row.evalLoss)) ? [row!] : [];
    } catch {
      return [];
    }
  });
}
