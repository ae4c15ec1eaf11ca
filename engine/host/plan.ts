/** Estimates what a run would be like before it is started, and changes its recipe so that it fits in memory. */
import type { DataReport, EngineRequests, FittedRecipe, ModelAt, Params, RunPlan, ViewingRows } from '../contract.ts';
import { type Recipe, rowSettings } from '../recipe.ts';
import { requireRecipe } from '../recipe/check.ts';
import { machineMemory } from '../runtime/memory.ts';
import type { Store } from '../store/open.ts';
import { totalExamples, totalSteps } from '../training/order.ts';
import { fitRecipe } from '../training/fitting.ts';
import { memoryRecipe, totalMemory } from '../training/memory.ts';
import { recipeNotes } from '../training/notes.ts';
import { type Asker, found } from './context.ts';
import type { Datasets } from './datasets.ts';
import { modelAt } from './job-inputs.ts';
import type { ModelProcesses } from './model-processes.ts';

export async function planForRun(
  { model, data, recipe: input }: Params<EngineRequests, 'runs.plan'>,
  { processes, store, datasets, asker }: AskedParts,
): Promise<RunPlan> {
  const recipe = requireRecipe(input);
  const at = modelAt(store, model);
  const version =
    'versionId' in data ? found(store.datasets.version(data.versionId), 'version of a data set', data.versionId) : null;
  const { layers: _, ...adapter } = await processes.adapter(at, recipe);
  const report = await processes.report(
    at,
    { data: await datasets.dataAt(data, asker), maxLength: recipe.maxLength, ...viewingOf(recipe) },
    { ...asker, question: 'plan', subjectId: version?.datasetId ?? null },
  );
  const steps = totalSteps(recipe, report.examples);
  const changes = report.changed.length === 0 ? [] : report.checks.slice(0, 1);
  const rate = store.metrics.rateOf(at.path);
  const longest = Math.min(report.longest, report.maxLength);
  return {
    ...adapter,
    totalSteps: steps,
    ...(await memoryForRun(at, recipe, longest, { processes, store })),
    memoryFree: machineMemory().free,
    time: rate && { seconds: tokensOfRun(recipe, version?.evalRows ?? 0, report) / rate.tokensPerSecond, ...rate },
    notes: [...changes.map(({ title, detail }) => `${title}. ${detail}`), ...recipeNotes(recipe, report.examples)],
  };
}

/** Returns the settings with which a run of this recipe would read its rows. */
function viewingOf(recipe: Recipe): ViewingRows {
  return { rowSettings: rowSettings(recipe), ...(recipe.date === '' ? {} : { day: recipe.date }) };
}

interface PlanParts {
  readonly processes: ModelProcesses;
  readonly store: Store;
}
interface AskedParts extends PlanParts {
  readonly datasets: Datasets;
  readonly asker: Asker;
}

/**
 * Estimates the memory of a run. What the programs take is as the newest run of the model here measured it; `memoryMeasured` is
 * that measurement if it was of a run like this, and null otherwise.
 */
async function memoryForRun(
  at: ModelAt,
  recipe: Recipe,
  longest: number,
  { processes, store }: PlanParts,
): Promise<Pick<RunPlan, 'memory' | 'memoryMeasured'>> {
  const memory = await processes.memory(at, recipe, longest);
  const measures = store.memory.of(at.path);
  const wanted = JSON.stringify(memoryRecipe(recipe));
  const same = measures.find((measure) => JSON.stringify(measure.recipe) === wanted && measure.longest === longest);
  const nearest = same ?? measures[0];
  if (nearest === undefined) return { memory, memoryMeasured: null };
  const estimated = await processes.memory(at, { ...recipe, ...nearest.recipe }, nearest.longest);
  const besides = nearest.bytes - totalMemory(estimated) + memory.runtime;
  return {
    memory: { ...memory, runtime: Math.max(0, besides) },
    memoryMeasured: same === undefined ? null : { bytes: same.bytes, measuredBy: same.measuredBy },
  };
}

/** Changes a recipe until a run takes no more than `budget` bytes. */
export async function fitForRun(
  { model, data, recipe: input, budget }: Params<EngineRequests, 'runs.fit'>,
  parts: AskedParts,
): Promise<FittedRecipe> {
  const recipe = requireRecipe(input);
  const at = modelAt(parts.store, model);
  const report = await parts.processes.report(
    at,
    { data: await parts.datasets.dataAt(data, parts.asker), maxLength: recipe.maxLength, ...viewingOf(recipe) },
    { ...parts.asker, question: 'fit' },
  );
  const { layers } = await parts.processes.adapter(at, recipe);
  const subject = { layers, longest: report.longest, tokensBehind: (length: number) => tokensBehind(report, length) };
  const fitted = await fitRecipe(recipe, subject, budget, async (changed, longest) =>
    totalMemory((await memoryForRun(at, changed, longest, parts)).memory),
  );
  return { ...fitted, fits: fitted.bytes <= budget };
}

/** Estimates the share of all tokens that come after the first `length` of their row. */
function tokensBehind({ lengths }: DataReport, length: number): number {
  const halfBucket = (lengths[0]?.upTo ?? 0) / 2;
  const sum = (from: number) =>
    lengths.reduce((total, { upTo, rows }) => total + rows * Math.max(0, upTo - halfBucket - from), 0);
  return sum(length) / Math.max(1, sum(0));
}

/** Gives the cost of a token in an evaluation relative to one in training: an evaluation needs only a forward pass. */
const costOfEvaluation = 1 / 3;

/** Counts the tokens that a run takes through the model; those of its evaluations are weighted by their cost. */
function tokensOfRun(recipe: Recipe, evalRows: number, report: DataReport): number {
  const { lengths, rows, examples, maxLength } = report;
  const halfBucket = (lengths[0]?.upTo ?? 0) / 2;
  const tokens = lengths.reduce((sum, { upTo, rows }) => sum + rows * Math.min(upTo - halfBucket, maxLength), 0);
  // One evaluation before the first step, one after the last, and those between.
  const evaluations = recipe.evalEvery === 0 ? 1 : 2 + Math.floor((totalSteps(recipe, examples) - 1) / recipe.evalEvery);
  // A row of the evaluation is taken to be as many examples as one of the training.
  const evaluated = evalRows * (examples / Math.max(1, rows));
  const trained = totalExamples(recipe, examples);
  return (tokens / Math.max(1, examples)) * (trained + evaluations * evaluated * costOfEvaluation);
}
