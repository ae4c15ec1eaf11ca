/**
 * Describes and reads the folder of a training run: `run.json`, `metrics.jsonl`, `events.jsonl`, `checkpoints/` and `adapter/`.
 * The folder is the only record of the run: the trainer writes it (run-writer.ts), here or on another machine, and the host
 * follows it (run-news.ts).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type {
  AdapterAt,
  AdapterDescription,
  ColumnMapping,
  DataChange,
  DataFormat,
  EvalMetrics,
  MetricRow,
  Mix,
  ProblemValue,
  Provider,
  Sample,
  VersionName,
} from '../contract.ts';
import { type Day, dayOf } from '../data/day.ts';
import { fileIn, readText } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import { fromSaved, type Recipe } from '../recipe.ts';
import type { Versions } from '../versions.ts';
import { runLockName } from './run-lock.ts';

/** Describes the content of run.json: everything needed to make the run again. */
export interface RunRecord {
  readonly version: 1;
  readonly recipe: Recipe;
  /** Gives the date that chat templates print; records of earlier versions have none. */
  readonly day?: Day;
  readonly base: BaseRecord;
  /** Holds the adapter that the run started from, or null when it started from a new one. */
  readonly startedFrom: {
    readonly path: string;
    /**
     * Gives the SHA-256 of the file with its weights, which its version and lineages have too; of both files together when
     * `configHash` is missing.
     */
    readonly hash: string;
    /** Gives the SHA-256 of its config, or null when that is in the same file. Records of earlier versions have none. */
    readonly configHash?: string | null;
  } | null;
  readonly data: DataRecord;
  readonly evaluation: DataRecord | null;
  /**
   * Gives the SHA-256 of the tokenizer's files, or null when the model has none of its own. Records of earlier versions have
   * none.
   */
  readonly tokenizerHash?: string | null;
  /** Gives the SHA-256 of the chat template, or null when there is none. */
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
  /** Says when the run was finished, or is null while it trains and after a stop. */
  readonly finishedAt: string | null;
}
export interface BaseRecord {
  readonly path: string;
  readonly name: string;
  readonly family: string;
  /** Gives the SHA-256 over the weight files. */
  readonly hash: string;
  /**
   * Gives the SHA-256 of config.json, or null for a GGUF, which has it among its weights. Records of earlier versions have
   * none.
   */
  readonly configHash?: string | null;
}
export interface DataRecord {
  readonly paths: readonly string[];
  /** Says what the fields of a row mean. It is left out when the format says it. */
  readonly mapping?: ColumnMapping;
  /** Lists the parts that the rows were put together from. It is left out where the data was not a mix. `paths` are then the files of its parts. */
  readonly mix?: Mix;
  /**
   * Says what was done to the rows of the files, among it how they were split. It is left out where all rows of the files were
   * read.
   */
  readonly changes?: readonly DataChange[];
  /**
   * Holds the version of the data set. It is left out when files were named by their paths, and in records of earlier versions.
   */
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

/** Defines a line of events.jsonl. Lines are only ever added. */
export type RunEvent = BeginEvent | LogEvent | SampleEvent | CheckpointEvent | AdapterEvent | EndEvent;
/**
 * Says that a session of the run begins, at its start or from the checkpoint of `step`. Everything that was written earlier
 * about later steps no longer counts. By then run.json describes the session, and metrics.jsonl was cut back to that step, so
 * it must be read from its start again.
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
/** Reports something to people in one or more sentences. */
export interface LogEvent {
  readonly type: 'log';
  readonly at: number;
  readonly text: string;
}
/** Says that the model has answered one of the fixed evaluation prompts. */
export interface SampleEvent {
  readonly type: 'sample';
  readonly at: number;
  readonly sample: Sample;
}
/** Says that a checkpoint is complete on the disk, and that metrics.jsonl holds every step up to it. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly at: number;
  readonly step: number;
  /** Gives the name of its folder in `checkpoints/`. */
  readonly name: string;
  readonly bytes: number;
}
/** Says that the run has finished, and that its adapter is complete in `adapter/`, where it replaces an earlier one. */
export interface AdapterEvent {
  readonly type: 'adapter';
  readonly at: number;
  /** Gives the number of steps that it was trained for. */
  readonly step: number;
  /** Gives the loss of the last evaluation, or null when there was none. */
  readonly evalLoss: number | null;
  readonly adapter: AdapterDescription;
}
/** Says that the session ended by itself. A process that was killed writes no such event. */
export interface EndEvent {
  readonly type: 'end';
  readonly at: number;
  readonly state: 'done' | 'stopped' | 'failed';
  /** Says why the session failed, or is null when it did not. */
  readonly problem: ProblemValue | null;
}

/** Describes the content of evaluation-rows.json: the losses that the newest evaluation of a run has found. */
export interface EvaluatedRows {
  /** Holds the step after which it was evaluated. */
  readonly step: number;
  /** Holds the index of each evaluated row in the evaluation data, from 0, and its mean loss in nats. */
  readonly rows: readonly (readonly [row: number, loss: number])[];
}

const maxRecordBytes = 1 << 22;

/** Returns whether a killed job left a file of this name half written. */
export const isLeftover = (name: string): boolean =>
  /^((run\.json|metrics\.jsonl|evaluation-rows\.json)?\.partial-|run\.lock\.)/.test(name);

/** Lists the content of a folder, except what a job that was killed at its start may have left. */
export function runContent(path: string): string[] {
  return readdirSync(path).filter((name) => !isLeftover(name) && name !== runLockName);
}

export const recordIn = (path: string): string => join(path, 'run.json');
export const metricsIn = (path: string): string => join(path, 'metrics.jsonl');
export const eventsIn = (path: string): string => join(path, 'events.jsonl');
export const rowLossesIn = (path: string): string => join(path, 'evaluation-rows.json');
export const checkpointsIn = (path: string): string => join(path, 'checkpoints');
export const adapterIn = (path: string): string => join(path, 'adapter');

/** Returns whether a folder holds a run that can be resumed. */
export const holdsRun = (path: string): boolean => existsSync(recordIn(path));

/** Reads run.json. Throws a `Problem` when it is missing or damaged. */
export function readRunRecord(path: string): RunRecord {
  return parseRecord(recordIn(path));
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

/** Reads the losses of rows that the newest evaluation of a run has left; null where it left none, or they cannot be read. */
export function readRowLosses(path: string): EvaluatedRows | null {
  try {
    return JSON.parse(readFileSync(rowLossesIn(path), 'utf8')) as EvaluatedRows;
  } catch {
    return null;
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

/** Returns the date of the run that trained an adapter, so that the adapter is evaluated on the tokens that it was trained on. */
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
  throw new Problem('file-damaged', `'${path}' is damaged.`, 'Start the run again in another folder.');
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
export function readMetricRows(path: string): MetricRow[] {
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
