/**
 * The folder of a training run: `run.json`, `metrics.jsonl`, `events.jsonl`, `checkpoints/` and `adapter/`. It is the one truth of the run:
 * who trains writes it, here or elsewhere, and the host follows it (run-news.ts).
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type {
  AdapterAt,
  AdapterDescription,
  Checkpoint,
  ColumnMapping,
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
import { logError, Problem } from '../problem.ts';
import { fromSaved, type Recipe } from '../recipe.ts';
import type { Versions } from '../versions.ts';
import { LineFile, removedMeanwhile } from './line-file.ts';

/** The content of run.json: everything one needs to know, and to have, to make the run again. */
export interface RunRecord {
  readonly version: 1;
  readonly recipe: Recipe;
  /** What chat templates print; not in records of earlier versions. */
  readonly day?: Day;
  readonly base: BaseRecord;
  /** The adapter the run started from, or null. */
  readonly startedFrom: {
    readonly path: string;
    /** SHA-256 of the file with its numbers, as its version and lineages have it; of both files together where `configHash` is missing. */
    readonly hash: string;
    /** SHA-256 of its config, null where that is in the same file; missing in runs of earlier versions. */
    readonly configHash?: string | null;
  } | null;
  readonly data: DataRecord;
  readonly evaluation: DataRecord | null;
  /** SHA-256 of the tokenizer's files, or null where the model has none of its own; not in records of earlier versions. */
  readonly tokenizerHash?: string | null;
  /** SHA-256 of the chat template, or null where there is none. */
  readonly templateHash: string | null;
  readonly device: { readonly provider: Provider; readonly name: string; readonly threads: number };
  readonly versions: Versions;
  /** Where it went on otherwise than it began, and how: its bits may not be those of a run without a break. */
  readonly notExact: readonly string[];
  readonly totalSteps: number;
  readonly trainableParameters: number;
  readonly startedAt: string;
  /** Null while it runs, and after a stop. */
  readonly finishedAt: string | null;
}
export interface BaseRecord {
  readonly path: string;
  readonly name: string;
  readonly family: string;
  /** SHA-256 over the weight files. */
  readonly hash: string;
  /** SHA-256 of config.json; null for a GGUF, which has it among its weights; not in records of earlier versions. */
  readonly configHash?: string | null;
}
export interface DataRecord {
  readonly paths: readonly string[];
  /** What their fields mean; left out where a format says it. */
  readonly mapping?: ColumnMapping;
  /** The version of a data set that they were; left out where they were named by their paths, and in records of earlier versions. */
  readonly version?: VersionName;
  /** SHA-256 of the files. */
  readonly hash: string;
  /** SHA-256 of each file, in their order; not in records of earlier versions. */
  readonly hashes?: readonly string[];
  /** SHA-256 of the token ids and labels of the rows in their order; not in records of earlier versions. */
  readonly tokensHash?: string;
  readonly format: DataFormat;
  /** Rows that were used. */
  readonly rows: number;
  /** What they are trained as: a conversation is several where the chat template writes earlier turns differently. */
  readonly examples: number;
  /** Rows that could not be used. */
  readonly skipped: number;
  /** Examples cut at the maximum length. */
  readonly truncated: number;
  /** Examples whose trained tokens were all cut off. */
  readonly withoutTarget: number;
}

/** A line of events.jsonl. Lines are only ever added. */
export type RunEvent = BeginEvent | LogEvent | SampleEvent | CheckpointEvent | AdapterEvent | EndEvent;
/**
 * The run begins, or goes on from the checkpoint of `step`: what was written before of later steps no longer counts. By then run.json says
 * how it goes on, and metrics.jsonl was cut back to that step, so it is read from its start again.
 */
export interface BeginEvent {
  readonly type: 'begin';
  /** UTC milliseconds, as in every event. */
  readonly at: number;
  /** 0 for a run that starts. */
  readonly step: number;
  /** Tokens of the longest row. */
  readonly longest: number;
}
/** What a person should know of the run, in a sentence. */
export interface LogEvent {
  readonly type: 'log';
  readonly at: number;
  readonly text: string;
}
/** An answer to one of the fixed evaluation prompts. */
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
  /** Its folder in `checkpoints/`. */
  readonly name: string;
  readonly bytes: number;
}
/** The run has come to its end and its adapter is whole in `adapter/`, in the place of the one of an earlier end. */
export interface AdapterEvent {
  readonly type: 'adapter';
  readonly at: number;
  /** Steps that it was trained. */
  readonly step: number;
  /** What the last evaluation measured; null where there was none. */
  readonly evalLoss: number | null;
  readonly adapter: AdapterDescription;
}
/** The session has ended by itself. A process that was killed leaves none. */
export interface EndEvent {
  readonly type: 'end';
  readonly at: number;
  readonly state: 'done' | 'stopped' | 'failed';
  /** Why it failed, or null. */
  readonly problem: ProblemValue | null;
}

const maxRecordBytes = 1 << 22;

/** What a killed job left half-written. */
const isLeftover = (name: string): boolean => /^(run\.json|metrics\.jsonl)?\.partial-/.test(name);

/** What is in a folder besides what a job that was killed at its very start may have left. */
export function runContent(path: string): string[] {
  return readdirSync(path).filter((name) => !isLeftover(name));
}

/** Whether a folder holds a run to go on with. */
export const holdsRun = (path: string): boolean => existsSync(join(path, 'run.json'));

export const metricsIn = (path: string): string => join(path, 'metrics.jsonl');
export const eventsIn = (path: string): string => join(path, 'events.jsonl');
export const checkpointsIn = (path: string): string => join(path, 'checkpoints');
export const adapterIn = (path: string): string => join(path, 'adapter');

/** What one session of a run writes. */
export class RunFolder {
  readonly path: string;
  readonly adapter: string;
  readonly checkpoints: string;
  readonly #record: string;
  readonly #onWritten: () => void;
  #isWritten = false;
  /** What is to be removed when the run does not come to its first step; null for a run that goes on. */
  #begun: { readonly madeFolder: boolean } | null = null;
  /** What was said before the folder is one of a run. */
  readonly #said: LogEvent[] = [];
  #metrics: LineFile | null = null;
  #events: LineFile | null = null;
  #evaluated: ReadonlySet<number> = new Set();
  /** The loss of the newest evaluation, of this session or an earlier one. */
  #evalLoss: number | null = null;

  /** `onWritten` is called after everything that is added but steps, which come by themselves in great number. */
  constructor(path: string, onWritten = (): void => {}) {
    this.path = path;
    this.adapter = adapterIn(path);
    this.checkpoints = checkpointsIn(path);
    this.#record = join(path, 'run.json');
    this.#onWritten = onWritten;
  }

  /** What an earlier session of the run recorded; null for a new run, for which the folder must be empty or not there. */
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
      this.#removeLeftovers();
      return parseRecord(this.#record);
    }
    if (isThere && runContent(this.path).length > 0)
      throw new Problem(
        'folder-not-empty',
        `'${this.path}' is not empty.`,
        'Choose another folder, or resume the run that is in it.',
      );
    if (isThere) this.#removeLeftovers();
    this.#begun = { madeFolder: !isThere };
    return null;
  }

  #removeLeftovers(): void {
    for (const name of readdirSync(this.path)) if (isLeftover(name)) rmSync(join(this.path, name), { recursive: true });
  }

  /** Empties the folder of a new run that failed before its first step: what is wrong is not in it, and it can be given again. */
  discardUnbegun(): void {
    if (this.#begun === null || !existsSync(this.#record) || existsSync(this.checkpoints)) return;
    const metrics = metricsIn(this.path);
    if (existsSync(metrics) && readMetricRows(metrics).some((row) => 'loss' in row)) return;
    this.close();
    for (const file of [this.#record, metrics, eventsIn(this.path)]) rmSync(file, { force: true });
    this.#removeLeftovers();
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

  /** Refuses to go on in a folder that was removed since it was written: its parts would come to be again without the rest. */
  requireThere(): void {
    if (!existsSync(this.#record)) throw removedMeanwhile(this.path);
  }

  /** Begins a session after `step` steps: metrics.jsonl is cut back to them. Comes after the record was written. */
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

  /** Says something of the run, also before it has begun. */
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

  /** Says what adapter the run has left in its folder after `step` steps. */
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

  /** Whether the evaluation after this step was in the folder when the session began. */
  hasEvaluation(step: number): boolean {
    return this.#evaluated.has(step);
  }

  /** Flushes the steps; called before a checkpoint, so that no checkpoint knows of a step the folder lacks. */
  flush(): void {
    this.#metrics!.flush();
  }

  /** Says how the session has ended, where it had begun. On a disk that takes no more it is known from the process alone. */
  end(state: EndEvent['state'], problem: ProblemValue | null): void {
    if (this.#events === null || !existsSync(this.#record)) return;
    try {
      this.#add({ type: 'end', at: Date.now(), state, problem });
    } catch (error) {
      logError(error);
    }
  }

  close(): void {
    this.#metrics?.close();
    this.#events?.close();
    this.#metrics = this.#events = null;
  }
}

/** Reads what run.json says. Throws a Problem where it is not there or not sound. */
export function readRunRecord(path: string): RunRecord {
  return parseRecord(join(path, 'run.json'));
}

/** What a run has recorded in its folder. */
export interface RecordedRun {
  readonly record: RunRecord;
  readonly evaluations: readonly EvalMetrics[];
}

/** Reads what a run has recorded in a folder, without touching it; null where there is none that can be read. */
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

/** Reads what the run of an adapter has recorded; null where nothing tells. `runFolder` is the folder of that run, where it is known. */
export function runOfAdapter({ path, runFolder = folderBeside(path) }: Omit<AdapterAt, 'weight'>): RecordedRun | null {
  return readRunFolder(runFolder);
}

/** The folder of a run that would have left an adapter at this path, at its end or in a checkpoint. */
function folderBeside(path: string): string {
  const folder = dirname(resolve(path));
  return basename(folder) === 'checkpoints' ? dirname(folder) : folder;
}

/** The day a run has for chat templates: of an earlier version's that on which it began; undefined where not even that is known. */
export function dayOfRun({ day, startedAt }: Pick<RunRecord, 'day' | 'startedAt'>): Day | undefined {
  const began = Date.parse(startedAt);
  return day ?? (Number.isNaN(began) ? undefined : dayOf(began));
}

/** The day of the run that has left an adapter: what it says is judged by the tokens it was trained on. */
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

/** The rows of the file; a last line that a crash cut off is dropped. */
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
