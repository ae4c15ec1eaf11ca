/** Opens the contestants of a comparison: their models, adapters and tokenizers, and what the trainings have cost. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { adapted, type AdaptedModel, openHashedAdapter } from '../adapters/adapted.ts';
import type { ContestantAt, TrainingCost } from '../contract.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import { metricsIn, readMetricRows, runOfAdapter } from './run-folder.ts';

/** Holds a contestant that can answer. */
export interface OpenContestant extends Pick<AdaptedModel, 'model' | 'adapters' | 'notes'> {
  readonly at: ContestantAt;
  readonly name: string;
  readonly tokenizer: Tokenizer | null;
  /** Holds the hashes of its weights, on which its answers depend besides the prompt. */
  readonly identity: readonly (string | null)[];
  readonly training: TrainingCost | null;
  /** Is equal for adapters whose runs differ in their seed alone; null where no run is known. */
  readonly sameButSeed: string | null;
}

/** Opens a contestant. `base` is opened already, so that contestants without adapter share it. */
export function openContestant(base: OpenModel, at: ContestantAt): OpenContestant {
  const { name, adapter } = at;
  if (adapter === undefined) {
    const { notes } = base.info;
    const identity = [base.hash, null, null];
    return { ...{ at, name, model: base, adapters: [], notes, tokenizer: tokenizerOf(base) }, identity, ...untrained };
  }
  const { opened, file } = openHashedAdapter(base, adapter.path, adapter);
  const { model, adapters, notes } = adapted(base, [{ opened, weight: adapter.weight }]);
  return {
    ...{ at, name, model, adapters, notes, tokenizer: tokenizerOf(model) },
    identity: [base.hash, file.hash, file.configHash],
    ...trainingOf(adapter, file.bytes),
  };
}

const untrained = { training: null, sameButSeed: null };

/** Reads what the run of an adapter has recorded, and what of it another run with another seed would have too. */
function trainingOf(
  { path, runFolder }: NonNullable<ContestantAt['adapter']>,
  bytes: number,
): Pick<OpenContestant, 'training' | 'sameButSeed'> {
  const where = runFolder === undefined ? { path } : { path, runFolder };
  const run = runOfAdapter(where)?.record ?? null;
  if (run === null) return { training: { seconds: null, parameters: null, bytes, seed: null }, sameButSeed: null };
  const { seed, ...recipe } = run.recipe;
  const metrics = metricsIn(runFolder ?? dirname(resolve(path)));
  const steps = existsSync(metrics) ? readMetricRows(metrics).filter((row) => 'seconds' in row) : [];
  const seconds = steps.length === 0 ? null : steps.reduce((sum, row) => sum + row.seconds, 0);
  const { tokensHash, hash } = run.data;
  const shared = JSON.stringify([recipe, run.base.hash, tokensHash ?? hash, run.startedFrom?.hash ?? null]);
  return {
    training: { seconds, parameters: run.trainableParameters, bytes, seed },
    sameButSeed: createHash('sha256').update(shared).digest('hex'),
  };
}
