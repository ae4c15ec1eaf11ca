/**
 * Prepares a training run up to its first step: everything is read, decided and described, but nothing is computed and nothing
 * is written.
 */
import { cpus } from 'node:os';
import type { Adapter } from '../adapters/adapter.ts';
import { adapted, openHashedAdapter, recordedOf } from '../adapters/adapted.ts';
import { adapterRecipe } from '../adapters/config.ts';
import type { JobSpec, Provider } from '../contract.ts';
import { today } from '../data/day.ts';
import { rowNotes } from '../data/report.ts';
import { type RowFiles, rowFiles } from '../data/row-files.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { openModel, quantizedModel, type OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import type { Recipe } from '../recipe.ts';
import { requireRecipe } from '../recipe/check.ts';
import { chooseDevice, cpuThreads } from '../runtime/devices.ts';
import type { TrainingState } from '../training/checkpoint.ts';
import { longestSequence } from '../training/examples.ts';
import { contextNotes, givenAdapterNotes, recipeNotes } from '../training/notes.ts';
import { objectives } from '../training/objectives/index.ts';
import type { Objective } from '../training/objectives/objective.ts';
import { totalSteps } from '../training/order.ts';
import { type ComputePlan, graphPlan } from '../training/compute-plan.ts';
import { versions } from '../versions.ts';
import { baseRecord, requireSameRun, startRecord, templateHash, tokenizerHash } from './run-identity.ts';
import type { JobPort } from './port.ts';
import { dataRecord, prepareData, type PreparedData } from './prepare-data.ts';
import { onRows, reportPhase } from './progress.ts';
import { type DataRecord, dayOfRun, holdsRun, type RunRecord } from './run-folder.ts';
import type { RunWriter } from './run-writer.ts';
import { dayNotes, mixNotes, resumeNotes, sharedNotes } from './run-notes.ts';
import { maxPrompts } from './samples.ts';
import { resumedRecipe, startingState } from './starting-state.ts';
import { tokenCache } from './token-cache.ts';

export type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

export interface PreparedRun {
  readonly recipe: Recipe;
  readonly objective: Objective;
  /** Holds the base that is trained on, quantized if the recipe says so. */
  readonly model: OpenModel;
  readonly tokenizer: Tokenizer | null;
  readonly data: PreparedData;
  readonly evaluation: PreparedData | null;
  /** Gives the number of tokens of the longest sequence. */
  readonly longest: number;
  /** Holds the state that the run begins with, and the plan that it is computed by. */
  readonly start: TrainingState;
  /** Holds the adapter that answers the samples before the first step, or null for the base alone. */
  readonly given: Adapter | null;
  readonly totalSteps: number;
  /** Holds the content of run.json. */
  readonly record: RunRecord;
  /** Says what a person should know of the run, in sentences. */
  readonly notes: readonly string[];
}

/** Prepares a new run, or the one in the folder to be resumed. Refuses what cannot be trained. */
export async function prepareRun(spec: TrainSpec, folder: RunWriter, port: JobPort): Promise<PreparedRun> {
  const given = requireRecipe(spec.recipe);
  if (spec.resume && holdsRun(spec.out)) await folder.hold();
  reportPhase(port, 'Reading the model');
  const base = openModel(spec.model.path, spec.model.acceptFields);
  const before = spec.adapterPath === null ? null : openHashedAdapter(base, spec.adapterPath, recordedOf(spec));
  const from = adapted(base, before === null ? [] : [{ opened: before.opened, weight: 1 }]);
  const earlier = folder.open(spec.resume);
  const recipe = earlier ? resumedRecipe(earlier, spec.recipe) : given;
  const model = quantizedModel(from.model, recipe.baseQuantization);
  const device = chooseDevice(spec.device, spec.devices, earlier?.device.provider);

  reportPhase(port, 'Reading the data');
  const tokenizer = tokenizerOf(model);
  const day = (earlier && dayOfRun(earlier)) ?? (recipe.date === '' ? today() : recipe.date);
  const reading = { skipBadRows: spec.skipBadRows, day, cache: tokenCache(model, spec.cacheDir) };
  const read = (files: RowFiles, whole: number, before: DataRecord | null = null) =>
    prepareData(files, model, tokenizer, recipe, { ...reading, whole }, { folder, port, before });
  const data = await read(rowFiles({ data: spec.data }), 0, earlier?.data);
  const evalFiles = rowFiles({ data: spec.data, split: 'eval' });
  const evaluation = evalFiles.paths.length === 0 ? null : await read(evalFiles, maxPrompts, earlier?.evaluation);

  const { examples } = data.prepared;
  const longest = longestSequence(examples);
  const { start, notExact, notes } = await startingState(
    spec.cacheDir,
    recipe,
    computePlan(recipe, device.provider, longest),
    { model, whole: from.model, first: from.adapters[0]?.adapter ?? null },
    { folder, earlier },
    port,
  );
  const { adapter, plan } = start;
  const steps = totalSteps(recipe, examples.length);
  if (steps < start.step)
    throw new Problem(
      'recipe-invalid',
      `The run has already made ${start.step} steps, but this recipe ends after ${steps}.`,
      'Set more steps or epochs, or start a new run in another folder.',
    );
  const record: RunRecord = {
    version: 1,
    // An adapter that training continues from decides the shape, whatever the recipe says.
    recipe: spec.adapterPath === null ? recipe : { ...recipe, ...adapterRecipe(adapter.config) },
    day,
    base: baseRecord(model, spec.cacheDir),
    startedFrom: before === null ? null : startRecord(before.opened.path, before.file),
    data: await dataRecord(data, port),
    evaluation: evaluation === null ? (earlier?.evaluation ?? null) : await dataRecord(evaluation, port),
    tokenizerHash: tokenizerHash(model.tokenizerSource),
    templateHash: templateHash(tokenizer),
    device: { provider: device.provider, name: device.name, threads: plan.threads },
    versions,
    notExact: [...(earlier?.notExact ?? []), ...notExact.map((why) => `from step ${start.step}: ${why}`)],
    totalSteps: steps,
    trainableParameters: adapter.shape.length,
    startedAt: earlier?.startedAt ?? new Date().toISOString(),
    finishedAt: null,
  };
  if (earlier) await requireSameRun(earlier, record);
  const ofRows = ({ files, loaded }: PreparedData) =>
    rowNotes(loaded.findings, loaded.unused).map((note) => `${files.paths.join(', ')}: ${note}`);
  const allNotes = [
    ...from.notes,
    ...notes,
    ...ofRows(data),
    ...(evaluation === null ? [] : ofRows(evaluation)),
    ...(earlier === null
      ? dayNotes(tokenizer, day)
      : resumeNotes(earlier, record, { step: start.step, examples: examples.length, isEvaluated: evaluation !== null })),
    ...(spec.adapterPath === null ? [] : givenAdapterNotes(spec.recipe, adapter, model.spec)),
    ...recipeNotes(recipe, examples.length),
    ...(spec.data.mix === undefined ? [] : mixNotes(recipe, spec.data.mix, data.loaded.rows)),
    ...contextNotes(model.spec, examples),
    ...(await sharedNotes(data, evaluation, onRows(port))),
  ];
  return {
    ...{ recipe, objective: objectives.sft, model, tokenizer, data, evaluation, longest, start, record },
    given: spec.adapterPath === null ? null : adapter,
    totalSteps: steps,
    // Rows in both splits would give the same notes twice.
    notes: [...new Set(allNotes)],
  };
}

/** Returns how this machine would compute a run of this recipe with rows of up to `longest` tokens. */
function computePlan(recipe: Recipe, provider: Provider, longest: number): ComputePlan {
  const processor = `${process.arch} ${cpus()[0]?.model.trim() ?? ''}`.trim();
  return { ...graphPlan(recipe, longest), provider, threads: cpuThreads(), processor, versions };
}
