/** What training and evaluation both begin with: the rows of a job, a device, and the opened training step. */
import { cpus } from 'node:os';
import type { DataFormat, DeviceInfo, JobSpec, Provider } from '../contract.ts';
import type { Day } from '../data/day.ts';
import { readRows, type DataRows, type RowOrProblem, type TokenRow } from '../data/rows.ts';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import type { Recipe, RowSettings } from '../recipe.ts';
import { cpuThreads, fastest, processor } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import type { AdapterShape } from '../training/lora/adapter.ts';
import { graphPlan, type ComputePlan } from '../training/plan.ts';
import { TrainStep, type TrainStepOptions } from '../training/step.ts';
import { versions } from '../versions.ts';

export interface LoadedRows {
  /** What is trained on: a conversation is several examples where the chat template writes earlier turns differently. */
  readonly rows: readonly TokenRow[];
  /** Rows of the data, those that were left out among them. */
  readonly read: number;
  readonly format: DataFormat;
  readonly hash: string;
  /** Rows that could not be used and were left out. */
  readonly skipped: number;
  readonly unused: DataRows['unused'];
}

export interface RowsReading {
  readonly skipBadRows: boolean;
  readonly keepText: boolean;
  readonly day: Day | undefined;
}

/** Reads rows as on a day; one that cannot be used ends the job, unless bad rows may be left out. */
export async function loadRows(
  paths: readonly string[],
  model: OpenModel,
  tokenizer: Tokenizer | null,
  { skipBadRows, ...reading }: RowsReading & Partial<RowSettings>,
): Promise<LoadedRows> {
  const { rows: all, format, hash, unused } = await readRows(paths, tokenizer, model.spec.vocabularySize, reading);
  const rows = all.filter((row): row is TokenRow => 'inputIds' in row);
  const bad = all.filter((row): row is Exclude<RowOrProblem, TokenRow> => 'problem' in row);
  const read = all.at(-1)!.index + 1;
  const first = bad[0];
  if (first && (!skipBadRows || rows.length === 0)) {
    const { code, message, hint } = first.problem;
    const more = bad.length === 1 ? '' : ` ${bad.length - 1} more of ${read} rows cannot be used either.`;
    const skip = rows.length === 0 || skipBadRows ? '' : ' With --skip-bad-rows such rows are left out.';
    throw new Problem(code, message + more, hint + skip, { line: first.line });
  }
  return { rows, read, format, hash, skipped: bad.length, unused };
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
