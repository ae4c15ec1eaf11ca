/**
 * Turns a client's request into the run that is stored. It looks up and checks everything that the request names, and changes
 * nothing.
 */
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import type { DataAt, Dataset, Model, Run, TrainRequest } from '../../contract.ts';
import { longestName, shown } from '../../problem.ts';
import type { Recipe } from '../../recipe.ts';
import { givenFields, requireRecipe } from '../../recipe/check.ts';
import type { Store } from '../../store/open.ts';
import type { RunJob } from '../../store/runs.ts';
import { found } from '../context.ts';
import { modelAt, oneAdapter, versionLyingAt } from '../job-inputs.ts';
import { requireName } from '../require.ts';

/** Returns what rows are called that are of no data set. */
function nameOf({ paths, mix }: DataAt): string {
  return mix === undefined ? basename(paths[0]!) : mix.parts.map(({ name }) => name).join(' + ');
}

/** Holds what a request amounts to. */
export interface RequestedRun {
  /** Holds the model of the library, or null when it is not in the library. */
  readonly model: Model | null;
  readonly modelPath: string;
  readonly dataset: Dataset | null;
  /** Gives the version of the data set that is trained on, or null when files are named by their paths. */
  readonly versionId: string | null;
  readonly job: RunJob;
  readonly recipe: Recipe;
  /** Holds the fields that were given, as the check has read them; a resumed run keeps its other fields. */
  readonly given: Partial<Recipe>;
}

/**
 * Looks up what a request names besides its data. Throws a `Problem` when something does not exist, or no run can be made of
 * it.
 */
export function readRequest(request: TrainRequest, data: DataAt, store: Store): RequestedRun {
  const model = 'id' in request.model ? found(store.models.get(request.model.id), 'model', request.model.id) : null;
  const { path: modelPath, acceptFields } = modelAt(store, request.model);
  const versionId = 'versionId' in request.data ? request.data.versionId : null;
  const dataset = versionId === null ? null : store.datasets.ofVersion(versionId);
  const { adapter } = request;
  const version =
    adapter === undefined
      ? null
      : 'id' in adapter
        ? found(store.adapters.get(adapter.id), 'adapter', adapter.id)
        : versionLyingAt(store, adapter.path);
  const byPath = adapter !== undefined && 'path' in adapter ? adapter.path : null;
  const recipe = requireRecipe(request.recipe);
  const { device = 'auto', skipBadRows = false } = request;
  return {
    ...{ model, modelPath, dataset, versionId },
    job: {
      data,
      ...(version === null ? { adapterPath: byPath } : oneAdapter(version)),
      device,
      skipBadRows,
      acceptFields,
    },
    recipe,
    given: givenFields(request.recipe, recipe),
  };
}

/** Says where a new run belongs. */
export interface RunPlace {
  readonly projectId: string;
  /** Gives the number of runs that the project has already. */
  readonly siblings: number;
  readonly dataDir: string;
}

/** Makes a run of a request, in the state before it waits for its turn. */
export function newRun({ name, out }: TrainRequest, asked: RequestedRun, { projectId, siblings, dataDir }: RunPlace): Run {
  const { model, modelPath, dataset, versionId, job, recipe } = asked;
  const id = randomUUID();
  return {
    id,
    projectId,
    name: name?.trim()
      ? requireName(name, 'run')
      : out === undefined
        ? `Run ${siblings + 1}`
        : shown(basename(out), longestName),
    colour: (siblings % 8) + 1,
    state: 'queued',
    phase: '',
    modelId: model?.id ?? null,
    modelName: model?.name ?? shown(basename(modelPath), longestName),
    modelPath,
    datasetId: dataset?.id ?? null,
    datasetName: dataset?.name ?? shown(nameOf(job.data), longestName),
    versionId,
    version: job.data.version?.sequence ?? null,
    recipe,
    device: 'cpu',
    out: out ?? join(dataDir, 'runs', id),
    step: 0,
    totalSteps: 0,
    secondsLeft: null,
    seconds: 0,
    lastLoss: null,
    measures: {},
    trainableParameters: 0,
    peakMemory: 0,
    problem: null,
    notes: '',
    tags: [],
    createdAt: Date.now(),
    finishedAt: null,
  };
}
