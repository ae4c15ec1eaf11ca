/** Manages projects, models and data sets, which a person collects to work with. */
import { randomUUID } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { basename, extname, isAbsolute, resolve } from 'node:path';
import type { Store } from '../store/open.ts';
import type {
  AcceptFields,
  AdapterAt,
  AdapterVersion,
  AdapterWeight,
  AskedChange,
  DataAt,
  DataFiles,
  DataRef,
  DataScan,
  Dataset,
  DatasetVersion,
  EngineRequests,
  Inspection,
  Model,
  ModelAt,
  ModelInfo,
  ModelRef,
  OneAdapter,
  Params,
  Project,
  Split,
  VersionDifference,
} from '../contract.ts';
import { differenceOf } from '../data/difference.ts';
import { changedProblem } from '../data/row-files.ts';
import { dataFileNames } from '../data-files.ts';
import { modelFolderOf } from '../models/hub-folder.ts';
import { logError, longestName, Problem, shown } from '../problem.ts';
import { type RowSettings, rowSettings } from '../recipe.ts';
import { embeddedModelPath } from '../resources.ts';
import { type Asker, found, type HostContext, runReader } from './context.ts';

export class Library {
  readonly #context: HostContext;
  /** Holds the projects whose embedded model is still being read. */
  readonly #preparing = new Map<string, Promise<unknown>>();

  constructor(context: HostContext) {
    this.#context = context;
  }

  createProject(name: string): Project {
    const project: Project = { id: randomUUID(), name: requireName(name, 'project'), createdAt: Date.now() };
    this.#context.store.projects.insert(project);
    this.#context.emit('list.changed', { projectId: project.id, list: 'projects' });
    const preparing = this.addModel(project.id, embeddedModelPath(), { embedded: true })
      // Without it the project is as good; adding a model by hand says what is wrong.
      .catch((error: unknown) => logError(new Error('The embedded model was not added.', { cause: error })))
      .finally(() => this.#preparing.delete(project.id));
    this.#preparing.set(project.id, preparing);
    return project;
  }

  renameProject(id: string, name: string): Project {
    const project = { ...this.project(id), name: requireName(name, 'project') };
    this.#context.store.projects.rename(id, project.name);
    this.#context.emit('list.changed', { projectId: id, list: 'projects' });
    return project;
  }

  project(id: string): Project {
    return found(this.#context.store.projects.get(id), 'project', id);
  }

  /** Returns the project for runs and exports that name a model by its path alone, and makes it if it does not exist yet. */
  looseProject(): Project {
    const name = 'Command line';
    return this.#context.store.projects.byName(name) ?? this.createProject(name);
  }

  async models(projectId: string): Promise<readonly Model[]> {
    this.project(projectId);
    await this.#preparing.get(projectId);
    return this.#context.store.models.list(projectId);
  }

  async addModel(
    projectId: string,
    chosen: string,
    { embedded = false, acceptFields = [], asker }: { embedded?: boolean; asker?: Asker | undefined } & AcceptFields = {},
  ): Promise<Model> {
    this.project(projectId);
    requireAbsolute(chosen);
    const place = resolve(chosen);
    // Whichever of its files a person chose.
    const path = modelFolderOf(place) ?? place;
    const info = await this.#inspectModel(path, acceptFields, asker);
    const model = this.#context.store.models.put({
      ...info,
      id: randomUUID(),
      projectId,
      path,
      embedded: embedded || path === embeddedModelPath(),
      createdAt: Date.now(),
    });
    this.#context.emit('list.changed', { projectId, list: 'models' });
    return model;
  }

  async #inspectModel(path: string, acceptFields: readonly string[], asker: Asker | undefined): Promise<ModelInfo> {
    const inspection = await runReader<Inspection>(this.#context, { kind: 'inspect', path, acceptFields }, path, { asker });
    if (inspection.kind !== 'model' || inspection.model === undefined)
      throw new Problem(
        'format-unknown',
        `${path} is no model, it is ${inspection.kind === 'adapter' ? 'an adapter' : 'a data set'}.`,
        'Choose a folder with config.json and safetensors files, or a GGUF file.',
      );
    return inspection.model;
  }

  removeModel(id: string): void {
    const model = found(this.#context.store.models.get(id), 'model', id);
    this.#context.store.models.remove(id);
    this.#context.emit('list.changed', { projectId: model.projectId, list: 'models' });
  }

  async addDataset(
    projectId: string,
    { name, data }: Omit<Params<EngineRequests, 'datasets.add'>, 'projectId'>,
    asker?: Asker,
  ): Promise<Dataset> {
    this.project(projectId);
    requireFiles(data);
    const id = randomUUID();
    const first = data.paths[0]!;
    const version = versionOf(
      { datasetId: id, sequence: 1, parent: null, mapping: data.mapping ?? null },
      await this.#scan(data, asker),
    );
    const dataset: Dataset = {
      id,
      projectId,
      name: name?.trim() ? requireName(name, 'data set') : shown(basename(first, extname(first)), longestName),
      createdAt: version.createdAt,
      version,
    };
    this.#context.store.datasets.insert(dataset);
    this.#context.emit('list.changed', { projectId, list: 'datasets' });
    return dataset;
  }

  /** Makes what the files of a data set hold now its newest version, unless they have not changed. */
  async addDatasetVersion(id: string, asker: Asker): Promise<Dataset> {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    const { version } = dataset;
    const scan = await this.#scan(dataFilesOf(version), asker);
    return scan.hash === version.hash ? dataset : this.#putVersion(dataset, scan);
  }

  /** A further change to the rows of the present version becomes the next one. The files must be what the version says. */
  async changeDataset(id: string, change: AskedChange, asker: Asker): Promise<Dataset> {
    const { datasets } = this.#context.store;
    const dataset = found(datasets.get(id), 'data set', id);
    const { version } = dataset;
    const at = await this.dataAt({ versionId: version.id }, asker);
    if (change.kind === 'split' && (at.evalPaths?.length ?? 0) > 0)
      throw new Problem(
        'request-invalid',
        `'${dataset.name}' has files to evaluate on: ${at.evalPaths!.join(', ')}.`,
        'Rows can be held back where there are none.',
      );
    const { hashes = {}, version: _, ...data } = at;
    const scan = await this.#scan(data, asker, change);
    const changed = scan.files.filter(({ path, sha256 }) => hashes[path] !== sha256).map(({ path }) => path);
    if (changed.length > 0) throw changedProblem(changed, 'the version of the data set was made');
    return this.#putVersion(dataset, scan);
  }

  /** Goes back to the version that the present one was made of. */
  undoDataset(id: string): Dataset {
    const { datasets } = this.#context.store;
    const { name, version } = found(datasets.get(id), 'data set', id);
    const before = datasets.versions(id).find(({ sequence }) => sequence === version.parent);
    if (before === undefined)
      throw new Problem('request-invalid', `'${name}' is as it was added.`, 'There is nothing to go back to.');
    return this.useVersion(id, before.id);
  }

  /** Makes a version the present one. */
  useVersion(id: string, versionId: string): Dataset {
    const { store, emit } = this.#context;
    const version = found(
      store.datasets.versions(id).find((one) => one.id === versionId) ?? null,
      'version of the data set',
      versionId,
    );
    store.datasets.use(version);
    const dataset = found(store.datasets.get(id), 'data set', id);
    emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
    return dataset;
  }

  /** Returns all versions of a data set with what each differs in from the one it was made of, the newest first. */
  versions(id: string): readonly VersionDifference[] {
    found(this.#context.store.datasets.get(id), 'data set', id);
    const versions = this.#context.store.datasets.versions(id);
    const bySequence = new Map(versions.map((version) => [version.sequence, version]));
    return versions.map((version) => ({
      version,
      difference: differenceOf(version, bySequence.get(version.parent ?? 0) ?? null),
    }));
  }

  #putVersion(dataset: Dataset, scan: DataScan): Dataset {
    const { store, emit } = this.#context;
    const { id: datasetId, version } = dataset;
    const sequence = 1 + Math.max(...store.datasets.versions(datasetId).map((one) => one.sequence));
    const next = versionOf({ datasetId, sequence, parent: version.sequence, mapping: version.mapping }, scan);
    store.datasets.insertVersion(next);
    emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
    return { ...dataset, version: next };
  }

  #scan(data: DataFiles, asker?: Asker, change?: AskedChange): Promise<DataScan> {
    const spec = { kind: 'scan', data, ...(change === undefined ? {} : { change }) } as const;
    return runReader<DataScan>(this.#context, spec, data.paths[0]!, { asker });
  }

  /** Returns the files of rows, with their hashes if a version of a data set names them. */
  async dataAt(ref: DataRef, asker?: Asker): Promise<DataAt> {
    if (!('versionId' in ref)) {
      requireFiles(ref);
      return ref;
    }
    const { datasets } = this.#context.store;
    const version = found(datasets.version(ref.versionId), 'version of a data set', ref.versionId);
    const { name } = found(datasets.get(version.datasetId), 'data set', version.datasetId);
    if (version.files.every(({ sha256 }) => sha256 !== null)) return versionAt(version, name);
    // An earlier studio kept one hash of all files, which says of none of them whether it is the one that changed.
    const scan = await this.#scan(dataFilesOf(version), asker);
    if (scan.hash !== version.hash)
      return versionAt({ ...version, files: version.files.map((file) => ({ ...file, sha256: version.hash })) }, name);
    datasets.setFiles(version.id, scan.files);
    return versionAt({ ...version, files: scan.files }, name);
  }

  removeDataset(id: string): void {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    this.#context.store.datasets.remove(id);
    this.#context.emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
  }
}

function versionOf(of: Pick<DatasetVersion, 'datasetId' | 'sequence' | 'parent' | 'mapping'>, scan: DataScan): DatasetVersion {
  return { id: randomUUID(), ...of, ...scan, createdAt: Date.now() };
}

function pathsOf({ files }: DatasetVersion, of: Split): readonly string[] {
  return files.filter(({ split }) => split === of).map(({ path }) => path);
}

function dataFilesOf(version: DatasetVersion): DataFiles {
  const { mapping, changes } = version;
  return {
    ...{ paths: pathsOf(version, 'train'), evalPaths: pathsOf(version, 'eval') },
    ...(mapping === null ? {} : { mapping }),
    ...(changes.length === 0 ? {} : { changes }),
  };
}

function versionAt(version: DatasetVersion, dataset: string): DataAt {
  const { id, sequence, files } = version;
  const hashes = files.flatMap(({ path, sha256 }) => (sha256 === null ? [] : [[path, sha256] as const]));
  return { ...dataFilesOf(version), hashes: Object.fromEntries(hashes), version: { id, sequence, dataset } };
}

function requireFiles({ paths, evalPaths = [] }: DataFiles): void {
  if (paths.length === 0)
    throw new Problem('request-invalid', 'At least one file of rows is needed.', `Choose a file of ${dataFileNames}.`);
  for (const path of [...paths, ...evalPaths]) requireAbsolute(path);
}

export function modelAt({ models }: Store, ref: ModelRef): Required<ModelAt> {
  const { path, acceptFields = [] } = 'id' in ref ? found(models.get(ref.id), 'model', ref.id) : ref;
  requireAbsolute(path);
  return { path, acceptFields };
}

/** Returns the base of an adapter, opened as its model is registered, or else as its run opened it. */
export function baseOf(
  { models, runs }: Store,
  { modelId, modelPath, runId }: Pick<AdapterVersion, 'modelId' | 'modelPath' | 'runId'>,
): Required<ModelAt> {
  const model = modelId === null ? null : models.get(modelId);
  const job = runId === null ? null : runs.job(runId);
  return { path: modelPath, acceptFields: model?.acceptFields ?? job?.acceptFields ?? [] };
}

/** Returns how the run of an adapter read its rows; empty when no run is known. */
export function rowSettingsOf({ runs }: Store, adapter: Pick<AdapterVersion, 'runId'> | null): Partial<RowSettings> {
  const run = adapter?.runId == null ? null : runs.get(adapter.runId);
  return run === null ? {} : rowSettings(run.recipe);
}

/** Returns the newest version that lies at a path, by whichever way the path leads there. */
export function versionLyingAt({ adapters }: Store, path: string): AdapterVersion | null {
  return adapters.atPath(resolve(path)) ?? (existsSync(path) ? adapters.atPath(realpathSync(path)) : null);
}

/** Describes a version as a job gets it, which holds it to what was recorded. */
export function recordedAt({ path, hash, configHash }: AdapterVersion, weight = 1): AdapterAt {
  return { path, weight, hash, configHash };
}

/** Describes a version as a job with one adapter gets it. */
export function oneAdapter({ path, hash, configHash }: AdapterVersion): Required<OneAdapter<string>> {
  return { adapterPath: path, adapterHash: hash, adapterConfigHash: configHash };
}

/** Describes an adapter that was named by its path, as a job gets it: as its version, where one lies there. */
export function adapterAt(store: Store, { path, weight }: AdapterWeight): AdapterAt {
  const version = versionLyingAt(store, path);
  return version === null ? { path, weight } : recordedAt(version, weight);
}

/** Refuses a relative path: the host runs in a folder of its own, where it would mean something else. */
export function requireAbsolute(path: string): void {
  if (typeof path !== 'string' || !isAbsolute(path))
    throw new Problem('request-invalid', `The path '${path}' is not absolute.`, 'Give the whole path.');
}

/**
 * Returns a name without the space around it. Refuses one that is empty or too long; `what` is the kind of thing in the
 * Problem.
 */
export function requireName(name: string, what: string): string {
  const trimmed = name.trim();
  if (trimmed === '') throw new Problem('request-invalid', `The ${what} needs a name.`, 'Type one.');
  if (trimmed.length > longestName)
    throw new Problem(
      'request-invalid',
      `The name of the ${what} has ${trimmed.length} characters.`,
      `Give one of at most ${longestName}.`,
    );
  return trimmed;
}

export function requireWeight({ path, weight }: AdapterWeight): void {
  requireAbsolute(path);
  if (!Number.isFinite(weight))
    throw new Problem('request-invalid', `The weight of ${path} is no number.`, 'Give a number such as 1.');
}
