/** Maps every request of the contract to its handler. */
import type {
  ColumnValues,
  DataColumns,
  DataRef,
  EngineRequests,
  EvaluateResult,
  FoundText,
  RowPlace,
  Handlers,
  Inspection,
  LabelledRow,
  ModelRef,
  RowQuestion,
  SourceRecord,
  TokenView,
  WorstRows,
  WrittenRows,
} from '../contract.ts';
import { type EvaluatedRows, readRowLosses } from '../jobs/run-folder.ts';
import { ignored } from '../labels.ts';
import { requireRecipe } from '../recipe/check.ts';
import { judged } from '../evaluate/judge.ts';
import { readSample, sampleNames } from '../resources.ts';
import { machineMemory, residentBytes } from '../runtime/memory.ts';
import { scheduleOf } from '../training/schedule.ts';
import type { AdapterRegistry } from './adapters.ts';
import { type Asker, found, type HostContext, runReader, startReported } from './context.ts';
import type { Datasets } from './datasets.ts';
import type { Devices } from './devices.ts';
import type { Evaluations } from './evaluations.ts';
import type { Exports } from './exports.ts';
import { identify, withOrigin } from './identify.ts';
import { findPrograms, install } from './install.ts';
import { adapterAt, baseOf, modelAt, oneAdapter, rowSettingsOf, versionLyingAt } from './job-inputs.ts';
import { isKeptData, keepData } from './kept-data.ts';
import type { Library } from './library.ts';
import type { Mixes } from './mixes.ts';
import type { DataAsker, ModelProcesses } from './model-processes.ts';
import { fitForRun, planForRun } from './plan.ts';
import { requireAbsolute, requireWeight } from './require.ts';
import type { RunQueue } from './runs/queue.ts';
import type { RunRegistry } from './runs/registry.ts';
import type { SampleProject } from './sample-project.ts';
import type { EndpointOfHost } from './serving.ts';

const worstNamed = 100;

function worstRows(losses: EvaluatedRows | null): WorstRows | null {
  if (losses === null) return null;
  const rows = losses.rows.map(([row, loss]) => ({ row, loss })).toSorted((a, b) => b.loss - a.loss || a.row - b.row);
  return { step: losses.step, rows: rows.slice(0, worstNamed) };
}

/** Returns the tokens of an example that a run would see, with their labels. */
function labelled(tokens: readonly TokenView[]): LabelledRow {
  const seen = tokens.filter(({ role }) => role !== 'truncated');
  return { inputIds: seen.map(({ id }) => id), labels: seen.map(({ id, role }) => (role === 'trained' ? id : ignored)) };
}

export interface HostParts {
  readonly devices: Devices;
  readonly library: Library;
  readonly datasets: Datasets;
  readonly registry: RunRegistry;
  readonly runs: RunQueue;
  readonly adapters: AdapterRegistry;
  readonly processes: ModelProcesses;
  readonly exports: Exports;
  readonly evaluations: Evaluations;
  readonly mixes: Mixes;
  readonly sample: SampleProject;
  readonly endpoint: EndpointOfHost;
}

export function handlersFor(context: HostContext, parts: HostParts): Handlers<EngineRequests, [Asker]> {
  const { store, supervisor, cacheDir } = context;
  const { devices, library, datasets, registry, runs, adapters, processes, exports, evaluations, mixes, sample, endpoint } =
    parts;
  const at = (ref: ModelRef) => modelAt(store, ref);
  /**
   * Adds to an asker the question and the data set that progress concerns. The progress is sent to every client, and a later
   * question replaces an earlier one.
   */
  const asked = (data: DataRef, asker: Asker, question: string): DataAsker =>
    'versionId' in data ? { ...asker, question, subjectId: store.datasets.version(data.versionId)?.datasetId ?? null } : asker;
  const look = async <T>(ref: DataRef, question: RowQuestion, asker: Asker): Promise<T> => {
    const data = await datasets.dataAt(ref, asker);
    return runReader<T>(context, { kind: 'look', data, question }, data.paths[0]!, { asker });
  };

  return {
    'machine.get': () => devices.get(),
    'machine.measure': ({ again }) => devices.measure(again),
    'machine.memory': () => ({
      used: residentBytes([process.pid, ...[...supervisor.jobs].flatMap((job) => job.pid ?? [])]),
      free: machineMemory().free,
    }),

    'projects.list': () => store.projects.list(),
    'projects.create': ({ name }) => library.createProject(name),
    'projects.rename': ({ id, name }) => library.renameProject(id, name),

    'models.list': ({ projectId }) => library.models(projectId),
    'models.add': ({ projectId, path, ...options }, asker) => library.addModel(projectId, path, { ...options, asker }),
    'models.remove': ({ id }) => {
      library.removeModel(id);
      return null;
    },
    'models.targets': ({ modelId, recipe }) =>
      processes.targets(modelAt(store, found(store.models.get(modelId), 'model', modelId)), requireRecipe(recipe)),

    'datasets.list': ({ projectId }) => store.datasets.list(projectId),
    'datasets.add': ({ projectId, ...added }, asker) => datasets.add(projectId, added, asker),
    'datasets.addVersion': ({ id }, asker) => datasets.addVersion(id, asker),
    'datasets.change': ({ id, change }, asker) => datasets.change(id, change, asker),
    'datasets.mix': ({ projectId, ...added }, asker) => datasets.mix(projectId, added, asker),
    'datasets.remix': ({ id, mix }, asker) => datasets.remix(id, mix, asker),
    'datasets.undo': ({ id }) => datasets.undo(id),
    'datasets.versions': ({ id }) => datasets.versions(id),
    'datasets.use': ({ id, versionId }) => datasets.use(id, versionId),
    'datasets.rename': ({ id, name }) => datasets.rename(id, name),
    'datasets.map': ({ id, mapping }, asker) => datasets.map(id, mapping, asker),
    'datasets.relocate': ({ id, ...places }, asker) => datasets.relocate(id, places, asker),
    'datasets.keep': async (kept) => ({ paths: await keepData(context, kept) }),
    'datasets.columns': ({ path }, asker) => {
      requireAbsolute(path);
      return runReader<DataColumns>(context, { kind: 'columns', path }, path, { asker });
    },
    'datasets.remove': ({ id }) => {
      datasets.remove(id);
      return null;
    },
    'runs.list': (params) => registry.list(params?.projectId),
    'runs.get': ({ id }) => registry.get(id),
    'runs.plan': (params, asker) => planForRun(params, { processes, store, datasets, asker }),
    'runs.fit': (params, asker) => fitForRun(params, { processes, store, datasets, asker }),
    'runs.start': async (params, asker) => {
      const run = await runs.start(params, asker.client.gone);
      if (params.resume === true) sample.follow(run.id);
      return run;
    },
    'runs.pause': ({ id }) => {
      runs.pause(id);
      return null;
    },
    'runs.stop': ({ id, force }) => {
      runs.stop(id, force ?? false);
      return null;
    },
    'runs.resume': ({ id }) => {
      const run = runs.resume(id);
      sample.follow(id);
      return run;
    },
    'runs.queue': () => runs.order,
    'runs.move': ({ id, place }) => runs.move(id, place),
    'runs.update': ({ id, ...change }) => registry.update(id, change),
    'runs.remove': ({ id }) => {
      registry.remove(id);
      return null;
    },
    'runs.metrics': ({ id, afterStep }) => store.metrics.page(id, afterStep),
    'runs.schedule': ({ id }) => {
      const { recipe, totalSteps } = registry.get(id);
      return scheduleOf(recipe, totalSteps);
    },
    'runs.samples': ({ id }) => store.samples.list(id).map(judged),
    'runs.log': ({ id }) => store.log.list(id),
    'runs.checkpoints': ({ id }) => store.checkpoints.list(id),
    'runs.worst': ({ id }) => worstRows(readRowLosses(registry.get(id).out)),

    'adapters.list': ({ projectId }) => store.adapters.list(projectId),
    'adapters.import': ({ projectId, path, modelId }, asker) => adapters.import(projectId, path, modelId, asker),
    'adapters.update': ({ id, ...change }) => adapters.update(id, change),
    'adapters.updates': ({ id }, asker) => adapters.updates(id, asker),
    'adapters.matrix': ({ id, path }, asker) => adapters.matrix(id, path, asker),
    'adapters.mixes': ({ projectId }) => mixes.origins(projectId),
    'adapters.mix': (params, asker) => mixes.mix(params, asker),
    'adapters.truncate': (params, asker) => mixes.truncate(params, asker),

    'generate.start': (params, asker) => {
      params.adapters.forEach(requireWeight);
      const adapters = params.adapters.map((adapter) => adapterAt(store, adapter));
      return processes.generate(at(params.model), { ...params, adapters }, asker.signal, (token) =>
        asker.client.tell('generate.token', token),
      );
    },

    'serve.start': (params, asker) => endpoint.start(params, asker),
    'serve.stop': async () => {
      await endpoint.stop();
      return null;
    },
    'serve.state': () => endpoint.state,

    'exports.choices': ({ adapterId }) => {
      const adapter = found(store.adapters.get(adapterId), 'adapter', adapterId);
      return processes.choices(baseOf(store, adapter), oneAdapter(adapter));
    },
    'exports.list': ({ projectId }) => store.exports.list(projectId),
    'exports.start': (params, asker) => exports.start(params, asker),
    'exports.stop': ({ id }) => {
      exports.stop(id);
      return null;
    },
    'exports.programs': () => findPrograms(process.env),
    'exports.install': ({ id, program }) => install(found(store.exports.get(id), 'export', id), program, process.env),
    'exports.identify': ({ path }, asker) => {
      requireAbsolute(path);
      return identify(context, path, asker.signal);
    },
    'evaluate.start': async ({ model, data, adapter, rowSettings: given, ...settings }, asker) => {
      if (adapter !== null) requireAbsolute(adapter);
      const version = adapter === null ? null : versionLyingAt(store, adapter);
      const rowSettings = { ...rowSettingsOf(store, version), ...given };
      const of = { ...settings, data: await datasets.dataAt(data, asker), rowSettings };
      const spec = {
        kind: 'evaluate',
        model: at(model),
        ...of,
        ...(version === null ? { adapterPath: adapter } : oneAdapter(version)),
        cacheDir,
      } as const;
      return (await startReported(context, spec, null, { asker }).finished) as EvaluateResult;
    },
    // The table brings validators and detectors along, which the host needs for nothing else.
    'evaluators.list': async () => (await import('../evaluate/evaluators.ts')).evaluatorInfos(),
    'evaluations.list': ({ projectId }) => evaluations.list(projectId),
    'evaluations.get': ({ id }) => evaluations.get(id),
    'evaluations.rows': (params) => evaluations.rows(params),
    'evaluations.report': ({ id }) => evaluations.report(id),
    'evaluations.text': ({ id, format }) => ({ text: evaluations.text(id, format) }),
    'evaluations.plan': (params, asker) => evaluations.plan(params, asker),
    'evaluations.start': (params, asker) => evaluations.start(params, asker),
    'evaluations.stop': ({ id }) => {
      evaluations.stop(id);
      return null;
    },
    'evaluations.resume': ({ id }, asker) => evaluations.resume(id, asker),
    'evaluations.rename': ({ id, name }) => evaluations.rename(id, name),
    'evaluations.remove': ({ id }) => {
      evaluations.remove(id);
      return null;
    },
    'data.rows': async ({ model, data, limit, ...page }, asker) =>
      processes.rows(
        at(model),
        { ...page, limit: Math.min(limit, 200), data: await datasets.dataAt(data, asker) },
        asked(data, asker, 'rows'),
      ),
    'data.row': async ({ model, data, ...of }, asker) =>
      processes.row(at(model), { ...of, data: await datasets.dataAt(data, asker) }, asked(data, asker, 'row')),
    'data.pack': async ({ model, data, recipe, ...of }, asker) =>
      processes.pack(
        at(model),
        { ...of, recipe: requireRecipe(recipe), data: await datasets.dataAt(data, asker) },
        asked(data, asker, 'pack'),
      ),
    'data.losses': async ({ model, data, adapter, ...of }, asker) => {
      if (adapter !== null) requireAbsolute(adapter);
      const row = await processes.row(
        at(model),
        { ...of, data: await datasets.dataAt(data, asker) },
        asked(data, asker, 'losses'),
      );
      const rows = row.examples.map(({ tokens }) => labelled(tokens));
      const given = adapter === null ? null : adapterAt(store, { path: adapter, weight: 1 });
      return processes.losses(at(model), { adapter: given, rows }, asker.signal);
    },
    'data.find': async ({ model, data, ...of }, asker) =>
      processes.find(at(model), { ...of, data: await datasets.dataAt(data, asker) }, asked(data, asker, 'find')),
    'data.render': async ({ model, data, ...page }, asker) =>
      processes.render(at(model), { ...page, data: await datasets.dataAt(data, asker) }, asker),
    'data.report': async ({ model, data, ...of }, asker) =>
      processes.report(at(model), { ...of, data: await datasets.dataAt(data, asker) }, asked(data, asker, 'report')),
    'data.record': ({ data, split = 'train', row }, asker) => look<SourceRecord>(data, { name: 'record', split, row }, asker),
    'data.place': async ({ data, split = 'train', row, in: other }, asker) =>
      look<RowPlace | null>(data, { name: 'place', split, row, in: await datasets.dataAt(other, asker) }, asker),
    'data.occurrences': ({ data, ...of }, asker) => look<FoundText>(data, { name: 'occurrences', ...of }, asker),
    'data.values': ({ data, column }, asker) => look<ColumnValues>(data, { name: 'values', column }, asker),
    'data.write': async ({ data, split, out, replace = false, skipBadRows = false }, asker) => {
      requireAbsolute(out);
      const at = await datasets.dataAt(data, asker);
      const of = { data: at, ...(split === undefined ? {} : { split }) };
      const spec = { kind: 'write-rows', ...of, out, replace, skipBadRows } as const;
      return runReader<WrittenRows>(context, spec, at.paths[0]!, { asker });
    },
    'inspect.path': async ({ path, acceptFields = [] }, asker) => {
      requireAbsolute(path);
      const found = await runReader<Inspection>(context, { kind: 'inspect', path, acceptFields }, path, { asker });
      return withOrigin(found, await identify(context, found.kind === 'adapter' ? found.path : path, asker.signal));
    },

    'sample.list': () => sampleNames.map((name) => readSample(name).info),
    'sample.start': (p) => sample.start(p.sample),
    'sample.get': () => sample.state,
    'sample.stop': () => {
      sample.stop();
      return null;
    },
    'sample.compare': (_, asker) => sample.compare(asker),
    'paths.known': ({ paths }) => [
      ...store.knownPaths.among(paths),
      ...paths.filter((path) => isKeptData(context.dataDir, path)),
    ],
    'notices.take': () => store.notices.take(),
  };
}
