/** The folder a training run leaves: `run.json`, `metrics.jsonl`, `checkpoints/` and `adapter/`. */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { DataFormat, EvalMetrics, MetricRow, Provider, StepMetrics } from '../contract.ts';
import { type Day, dayOf } from '../data/day.ts';
import { fileIn, makeFolder, readText, writeFileAtomic } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';
import { fromSaved, type Recipe } from '../recipe.ts';
import type { Versions } from '../versions.ts';

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
    /** That of its version and in lineages (`adapterHash`); of both files together where `configHash` is missing. */
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
  /** SHA-256 of the files. */
  readonly hash: string;
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

const maxRecordBytes = 1 << 22;

/** What a killed job left half-written. */
const isLeftover = (name: string): boolean => /^(run\.json|metrics\.jsonl)?\.partial-/.test(name);

/** What is in a folder besides what a job that was killed at its very start may have left. */
export function runContent(path: string): string[] {
  return readdirSync(path).filter((name) => !isLeftover(name));
}

export class RunFolder {
  readonly path: string;
  readonly adapter: string;
  readonly checkpoints: string;
  readonly #record: string;
  readonly #metrics: string;
  #isWritten = false;
  /** What is to be removed when the run does not come to its first step; null for a run that goes on. */
  #begun: { readonly madeFolder: boolean } | null = null;

  constructor(path: string) {
    this.path = path;
    this.adapter = join(path, 'adapter');
    this.checkpoints = join(path, 'checkpoints');
    this.#record = join(path, 'run.json');
    this.#metrics = join(path, 'metrics.jsonl');
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
    if (existsSync(this.#metrics) && readRows(this.#metrics).some((row) => 'loss' in row)) return;
    for (const file of [this.#record, this.#metrics]) rmSync(file, { force: true });
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
    if (!existsSync(this.#record)) throw gone(this.path);
  }

  /** Opens metrics.jsonl, cut back to what was known after `steps` steps. */
  metrics(steps: number): MetricsFile {
    return new MetricsFile(this.#metrics, steps);
  }
}

function gone(path: string): Problem {
  return new Problem(
    'folder-unwritable',
    `'${path}' was removed or replaced while the run was writing to it.`,
    'Put the folder back and resume the run, or start it again.',
  );
}

/** What a run has recorded in a folder, without touching it; null where there is none that can be read. */
export function readRunFolder(path: string): { record: RunRecord; evaluations: readonly EvalMetrics[] } | null {
  try {
    const [run, metrics] = [fileIn(path, 'run.json'), fileIn(path, 'metrics.jsonl')];
    if (run === null) return null;
    return {
      record: parseRecord(run),
      evaluations: metrics === null ? [] : readRows(metrics).filter((row) => 'evalLoss' in row),
    };
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** The run that has left an adapter, at its end or in a checkpoint; null where nothing beside the adapter tells. */
export function runOfAdapter(path: string): ReturnType<typeof readRunFolder> {
  const folder = dirname(resolve(path));
  return readRunFolder(basename(folder) === 'checkpoints' ? dirname(folder) : folder);
}

/** The day a run has for chat templates: of an earlier version's that on which it began; undefined where not even that is known. */
export function dayOfRun({ day, startedAt }: Pick<RunRecord, 'day' | 'startedAt'>): Day | undefined {
  const began = Date.parse(startedAt);
  return day ?? (Number.isNaN(began) ? undefined : dayOf(began));
}

/** The day of the run that has left an adapter: what it says is judged by the tokens it was trained on. */
export function dayOfAdapter(path: string | null | undefined): Day | undefined {
  const run = path == null ? null : runOfAdapter(path);
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

/** metrics.jsonl: one line per step and per evaluation, added as they come. */
export class MetricsFile {
  readonly #path: string;
  readonly #descriptor: number;
  /** What the file began with. */
  readonly known: { readonly steps: readonly StepMetrics[]; readonly evaluations: readonly EvalMetrics[] };

  constructor(path: string, steps: number) {
    const kept = existsSync(path) ? readRows(path).filter((row) => row.step <= steps) : [];
    this.#path = path;
    this.known = {
      steps: kept.filter((row) => 'loss' in row),
      evaluations: kept.filter((row) => 'evalLoss' in row),
    };
    try {
      writeFileAtomic(path, kept.map((row) => JSON.stringify(row) + '\n').join(''));
      this.#descriptor = openSync(path, 'a');
    } catch (cause) {
      throw toWriteProblem(path, cause);
    }
  }

  /** Whether the evaluation after this step is in the file. */
  hasEvaluation(step: number): boolean {
    return this.known.evaluations.some((row) => row.step === step);
  }

  add(row: MetricRow): void {
    this.#requireThere();
    try {
      writeSync(this.#descriptor, JSON.stringify(row) + '\n');
    } catch (cause) {
      throw toWriteProblem(this.#path, cause);
    }
  }

  /** The system goes on taking what is written to a file that has no name any more. */
  #requireThere(): void {
    const named = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    const open = fstatSync(this.#descriptor, { bigint: true });
    if (named?.ino !== open.ino) throw gone(this.#path);
  }

  /** Flushed before a checkpoint, so that no checkpoint knows of a step the file lacks. */
  flush(): void {
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** The rows of the file; a last line that a crash cut off is dropped. */
function readRows(path: string): MetricRow[] {
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
