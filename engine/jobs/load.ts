/** What training and evaluation both begin with: the rows of a job, a device, and the opened training step. */
import { cpus } from 'node:os';
import type { AdapterShape } from '../adapters/adapter.ts';
import type { DataFormat, DeviceInfo, JobSpec, Provider } from '../contract.ts';
import type { Day } from '../data/day.ts';
import { RowFindings } from '../data/row-facts.ts';
import { changedFiles, type RowFiles } from '../data/row-files.ts';
import { RowStore, type StoredRow } from '../data/row-store.ts';
import { type RowOrProblem, RowSource, type TokenRow, type UnusedColumn } from '../data/rows.ts';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import type { Recipe, RowSettings } from '../recipe.ts';
import { cpuThreads, fastest, processor } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { graphPlan, type ComputePlan } from '../training/plan.ts';
import { TrainStep, type TrainStepOptions } from '../training/step.ts';
import { versions } from '../versions.ts';
import type { JobPort } from './port.ts';
import { followJob, readUnchanged } from './reading.ts';

export interface LoadedRows {
  /** What is trained on: a conversation is several examples where the chat template writes earlier turns differently. */
  readonly rows: readonly StoredRow[];
  /** The first of them with text and messages, as many as were asked for. */
  readonly whole: readonly TokenRow[];
  /** Rows of the data, those that were left out among them. */
  readonly read: number;
  readonly format: DataFormat;
  readonly hash: string;
  /** Files that are not those of the version that was asked for. */
  readonly changed: readonly string[];
  /** Rows that could not be used and were left out. */
  readonly skipped: number;
  readonly unused: readonly UnusedColumn[];
  readonly findings: RowFindings;
}

export interface RowsReading {
  readonly skipBadRows: boolean;
  /** Tokens that are kept of each example, from its beginning; absent: all of them. */
  readonly maxTokens?: number;
  /** Examples that are wanted with their text and messages. */
  readonly whole: number;
  readonly day: Day | undefined;
}

/**
 * Reads rows as on a day, with progress and until a stop; a row that cannot be used ends the job, unless bad rows may be left out. Only
 * tokens are kept.
 */
export async function loadRows(
  files: RowFiles,
  model: OpenModel,
  tokenizer: Tokenizer | null,
  { skipBadRows, maxTokens, whole, day, ...settings }: RowsReading & Partial<RowSettings>,
  port: JobPort,
): Promise<LoadedRows> {
  const source = new RowSource(files, tokenizer, model.spec.vocabularySize, { ...settings, keepText: whole > 0, day });
  const store = new RowStore(maxTokens);
  const findings = new RowFindings(tokenizer);
  const first: TokenRow[] = [];
  let read = 0;
  let bad = 0;
  let problem: ProblemValue | null = null;
  const keep = (row: readonly RowOrProblem[]): void => {
    read++;
    const examples = row.filter((example): example is TokenRow => 'inputIds' in example);
    if (examples.length === 0) {
      bad++;
      if ('problem' in row[0]!) problem ??= row[0].problem;
      return;
    }
    findings.add(examples);
    for (const example of examples) {
      store.add(example);
      if (first.length < whole) first.push(example);
    }
  };
  const reading = () => source.read(keep, followJob('Reading the data', port));
  const { format, hash, hashes, unused } = await readUnchanged(files.paths, reading);
  const failed = problem as ProblemValue | null;
  if (failed !== null && (!skipBadRows || store.rows.length === 0)) {
    const more = bad === 1 ? '' : ` ${bad - 1} more of ${read} rows cannot be used either.`;
    const skip = store.rows.length === 0 || skipBadRows ? '' : ' With --skip-bad-rows such rows are left out.';
    throw Problem.fromValue({ ...failed, message: failed.message + more, hint: failed.hint + skip });
  }
  return {
    rows: store.rows,
    whole: first,
    read,
    format,
    hash,
    changed: changedFiles(files, hashes),
    skipped: bad,
    unused,
    findings,
  };
}

/** Null when the model has none, which is enough for rows of token ids. */
export function tokenizerOf(model: OpenModel): Tokenizer | null {
  return model.tokenizerSource && openTokenizer(model.tokenizerSource);
}

/** The device to train on, or why the one asked for cannot be. A run goes on where it was `before`, while that can be used. */
export function chooseDevice(
  asked: Extract<JobSpec, { kind: 'train' }>['device'],
  devices: readonly DeviceInfo[] = [processor()],
  before: Provider | null = null,
): DeviceInfo {
  const best = fastest(devices);
  const own = devices.find(({ provider }) => provider === (asked === 'auto' ? before : asked));
  const device = asked === 'auto' ? (own?.usable === true ? own : best) : own;
  if (device?.usable) return device;
  throw new Problem(
    'device-unavailable',
    `The device '${asked}' cannot be used: ${device?.reason ?? 'it is not known.'}`,
    `Use '${best.provider}' or 'auto'.`,
  );
}

/** How this machine would compute a run of this recipe with rows of up to `longest` tokens. */
export function computePlan(recipe: Recipe, provider: Provider, longest: number): ComputePlan {
  const processor = `${process.arch} ${cpus()[0]?.model.trim() ?? ''}`.trim();
  return { ...graphPlan(recipe, longest), provider, threads: cpuThreads(), processor, versions };
}

export async function openTrainStep(
  model: OpenModel,
  shape: AdapterShape,
  options: Omit<TrainStepOptions, 'openSession' | 'threads'> & { readonly threads?: number },
): Promise<TrainStep> {
  return TrainStep.open(model, shape, { threads: cpuThreads(), ...options, openSession });
}
