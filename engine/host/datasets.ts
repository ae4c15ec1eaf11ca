/** Manages data sets and their versions, and finds the files of rows that a request names. */
import { randomUUID } from 'node:crypto';
import { basename, extname, sep } from 'node:path';
import type {
  AskedChange,
  ColumnMapping,
  DataAt,
  DataFiles,
  DataRef,
  DataScan,
  Dataset,
  DatasetVersion,
  EngineRequests,
  Params,
  Split,
  VersionDifference,
} from '../contract.ts';
import { differenceOf } from '../data/difference.ts';
import { changedProblem } from '../data/row-files.ts';
import { dataFileNames } from '../data-files.ts';
import { longestName, Problem, shown } from '../problem.ts';
import { type Asker, found, type HostContext, runReader } from './context.ts';
import { requireAbsolute, requireName } from './require.ts';

export class Datasets {
  readonly #context: HostContext;

  constructor(context: HostContext) {
    this.#context = context;
  }

  async add(
    projectId: string,
    { name, data }: Omit<Params<EngineRequests, 'datasets.add'>, 'projectId'>,
    asker?: Asker,
  ): Promise<Dataset> {
    found(this.#context.store.projects.get(projectId), 'project', projectId);
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
      name: this.#freeName(
        projectId,
        name?.trim() ? requireName(name, 'data set') : shown(basename(first, extname(first)), longestName),
      ),
      createdAt: version.createdAt,
      version,
    };
    this.#context.store.datasets.insert(dataset);
    this.#context.emit('list.changed', { projectId, list: 'datasets' });
    return dataset;
  }

  /** Gives a data set another name, which no other data set of its project may have. */
  rename(id: string, wanted: string): Dataset {
    const { store, emit } = this.#context;
    const dataset = found(store.datasets.get(id), 'data set', id);
    const name = requireName(wanted, 'data set');
    if (store.datasets.list(dataset.projectId).some((other) => other.id !== id && other.name === name))
      throw new Problem('request-invalid', `The project has a data set '${name}' already.`, 'Choose another name.');
    store.datasets.rename(id, name);
    emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
    return { ...dataset, name };
  }

  /** Returns the wanted name, with a number added if a data set of the project already has it. */
  #freeName(projectId: string, wanted: string): string {
    const taken = new Set(this.#context.store.datasets.list(projectId).map(({ name }) => name));
    let name = wanted;
    for (let number = 2; taken.has(name); number++) name = `${wanted.slice(0, longestName - ` ${number}`.length)} ${number}`;
    return name;
  }

  /** Makes what the files of a data set hold now its newest version, unless they have not changed. */
  async addVersion(id: string, asker: Asker): Promise<Dataset> {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    const { version } = dataset;
    const scan = await this.#scan(addedFilesOf(version), asker);
    return scan.hash === version.hash ? dataset : this.#putVersion(dataset, scan);
  }

  /** Makes the next version by another mapping of the columns; null leaves the format to be recognized. */
  async map(id: string, mapping: ColumnMapping | null, asker: Asker): Promise<Dataset> {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    if (JSON.stringify(mapping) === JSON.stringify(dataset.version.mapping)) return dataset;
    const { mapping: _, ...data } = dataFilesOf(dataset.version);
    const scan = await this.#scan({ ...data, ...(mapping === null ? {} : { mapping }) }, asker);
    requireSame(scan, dataset.version);
    const { files } = dataset.version;
    return this.#putVersion(dataset, { ...scan, files }, mapping);
  }

  /** Makes the next version by reading a file or folder at another place, where a person has moved it. */
  async relocate(id: string, { from, to }: { from: string; to: string }, asker: Asker): Promise<Dataset> {
    requireAbsolute(to);
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    const moved = (path: string): string => {
      if (path === from) return to;
      return path.startsWith(from + sep) ? to + path.slice(from.length) : path;
    };
    const { paths, evalPaths = [], changes = [], ...data } = addedFilesOf(dataset.version);
    if (![...paths, ...evalPaths].includes(from))
      throw new Problem('not-found', `'${dataset.name}' is not made of '${from}'.`, 'Look at its files again.');
    const movedChanges = changes.map((change) => {
      if (change.kind === 'edit') return { ...change, path: moved(change.path) };
      if (change.kind !== 'exclude') return change;
      return { ...change, files: change.files.map(({ path, rows }) => ({ path: moved(path), rows })) };
    });
    const files = { paths: paths.map(moved), evalPaths: evalPaths.map(moved), changes: movedChanges };
    return this.#putVersion(dataset, await this.#scan({ ...data, ...files }, asker));
  }

  /** Makes the next version by one more change to the rows of the present one, whose files must be unchanged. */
  async change(id: string, change: AskedChange, asker: Asker): Promise<Dataset> {
    const { datasets } = this.#context.store;
    const dataset = found(datasets.get(id), 'data set', id);
    const { version } = dataset;
    const at = await this.dataAt({ versionId: version.id }, asker);
    if (change.kind === 'split' && (at.evalPaths?.length ?? 0) > 0)
      throw new Problem(
        'request-invalid',
        `'${dataset.name}' already has evaluation files: ${at.evalPaths!.join(', ')}.`,
        'Rows can be held back only from a data set without evaluation files.',
      );
    const { hashes: _, version: __, fromFolders: ___, ...data } = at;
    const scan = await this.#scan(data, asker, change);
    const { files } = found(datasets.version(version.id), 'version of the data set', version.id);
    requireSame(scan, { files });
    return this.#putVersion(dataset, { ...scan, files });
  }

  /** Goes back to the version that the present one was made of. */
  undo(id: string): Dataset {
    const { datasets } = this.#context.store;
    const { name, version } = found(datasets.get(id), 'data set', id);
    const before = datasets.versions(id).find(({ sequence }) => sequence === version.parent);
    if (before === undefined)
      throw new Problem('request-invalid', `'${name}' has not been changed.`, 'There is nothing to undo.');
    return this.use(id, before.id);
  }

  /** Makes a version the present one. */
  use(id: string, versionId: string): Dataset {
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

  /** Returns all versions of a data set, newest first, each with how it differs from the one that it was made from. */
  versions(id: string): readonly VersionDifference[] {
    found(this.#context.store.datasets.get(id), 'data set', id);
    const versions = this.#context.store.datasets.versions(id);
    const bySequence = new Map(versions.map((version) => [version.sequence, version]));
    return versions.map((version) => ({
      version,
      difference: differenceOf(version, bySequence.get(version.parent ?? 0) ?? null),
    }));
  }

  #putVersion(dataset: Dataset, scan: DataScan, mapping = dataset.version.mapping): Dataset {
    const { store, emit } = this.#context;
    const { id: datasetId, version } = dataset;
    const sequence = 1 + Math.max(...store.datasets.versions(datasetId).map((one) => one.sequence));
    const next = versionOf({ datasetId, sequence, parent: version.sequence, mapping }, scan);
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
    // An earlier studio kept one hash of all files, which does not show which of them changed.
    const scan = await this.#scan(dataFilesOf(version), asker);
    if (scan.hash !== version.hash)
      return versionAt({ ...version, files: version.files.map((file) => ({ ...file, sha256: version.hash })) }, name);
    datasets.setFiles(version.id, scan.files);
    return versionAt({ ...version, files: scan.files }, name);
  }

  remove(id: string): void {
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

/** Returns the files as a person added them: a folder in place of the texts that were found in it, which may be others by now. */
function addedFilesOf(version: DatasetVersion): DataFiles {
  const added = (of: Split) => [
    ...new Set(version.files.filter(({ split }) => split === of).map(({ path, folder }) => folder ?? path)),
  ];
  return { ...dataFilesOf(version), paths: added('train'), evalPaths: added('eval') };
}

/** Throws a Problem if the scanned files are not those of a version. */
function requireSame(scan: DataScan, { files }: Pick<DatasetVersion, 'files'>): void {
  const hashes = new Map(files.map(({ path, sha256 }) => [path, sha256]));
  const changed = scan.files.filter(({ path, sha256 }) => hashes.get(path) !== sha256).map(({ path }) => path);
  if (changed.length > 0) throw changedProblem(changed, 'the version of the data set was made');
}

function versionAt(version: DatasetVersion, dataset: string): DataAt {
  const { id, sequence, files } = version;
  const hashes = files.flatMap(({ path, sha256 }) => (sha256 === null ? [] : [[path, sha256] as const]));
  const folders = [...new Set(files.flatMap(({ folder }) => folder ?? []))];
  return {
    ...{ ...dataFilesOf(version), hashes: Object.fromEntries(hashes), version: { id, sequence, dataset } },
    ...(folders.length === 0 ? {} : { fromFolders: folders }),
  };
}

function requireFiles({ paths, evalPaths = [] }: DataFiles): void {
  if (paths.length === 0)
    throw new Problem('request-invalid', 'At least one data file is needed.', `Choose a ${dataFileNames} file.`);
  for (const path of [...paths, ...evalPaths]) requireAbsolute(path);
}
