/** Manages data sets and their versions, and finds the files of rows that a request names. */
import { randomUUID } from 'node:crypto';
import { basename, extname, sep } from 'node:path';
import type {
  AskedChange,
  AskedMix,
  AskedPart,
  ColumnMapping,
  DataAt,
  DataFiles,
  DataRef,
  DataScan,
  Dataset,
  DatasetVersion,
  EngineRequests,
  Mix,
  MixedData,
  MixPart,
  Params,
  Split,
  VersionDifference,
} from '../contract.ts';
import { differenceOf } from '../data/difference.ts';
import { changedProblem } from '../data/row-files.ts';
import { dataFileNames, isHubName } from '../data-files.ts';
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
    return this.#putDataset(projectId, name?.trim() ? name : nameOfFiles(data), data, await this.#scan(data, asker));
  }

  /** Makes a data set that is a mix of others. */
  async mix(
    projectId: string,
    { name, mix: asked }: Omit<Params<EngineRequests, 'datasets.mix'>, 'projectId'>,
    asker: Asker,
  ): Promise<Dataset> {
    found(this.#context.store.projects.get(projectId), 'project', projectId);
    const data = await this.dataAt({ mix: asked }, asker);
    const { parts } = data.mix!;
    const named = name?.trim() ? name : shown(parts.map((part) => part.name).join(' + '), longestName);
    return this.#putDataset(projectId, named, data, await this.#scanMix(data, asker));
  }

  /** Makes a version of a mix with other parts or amounts. Returns the data set as it is if they are the same. */
  async remix(id: string, asked: AskedMix, asker: Asker): Promise<Dataset> {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    const { changes, mix } = dataset.version;
    if (mix === null)
      throw new Problem('request-invalid', `'${dataset.name}' is no mix.`, 'Make a mix with it as one of its parts.');
    const data = await this.dataAt({ mix: asked, changes }, asker);
    const scan = await this.#scanMix(data, asker);
    const isSame = JSON.stringify(data.mix) === JSON.stringify(mix) && scan.hash === dataset.version.hash;
    return isSame ? dataset : this.#putVersion(dataset, scan, { mapping: null, mix: data.mix! });
  }

  #putDataset(projectId: string, name: string, { mapping, mix }: DataAt, scan: DataScan): Dataset {
    const id = randomUUID();
    const own = mix === undefined ? { mapping: mapping ?? null, mix: null } : { mapping: null, mix };
    const version = versionOf({ datasetId: id, sequence: 1, parent: null, ...own }, scan);
    const dataset = {
      id,
      projectId,
      name: this.#freeName(projectId, requireName(name, 'data set')),
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

  /**
   * Makes the present content of a data set's files its newest version, unless they have not changed. The parts of a mix are
   * brought up to date first, and the mix takes their present versions.
   */
  async addVersion(id: string, asker: Asker): Promise<Dataset> {
    const { datasets } = this.#context.store;
    const dataset = found(datasets.get(id), 'data set', id);
    const { version } = dataset;
    if (version.mix !== null) {
      const parts: AskedPart[] = [];
      for (const { version: taken, data, ...part } of version.mix.parts) {
        const of = taken === undefined ? null : datasets.ofVersion(taken.id);
        const present = of === null ? null : (await this.addVersion(of.id, asker)).version;
        // Of a data set that was removed the files are still there.
        parts.push({ ...part, data: present === null ? data : { versionId: present.id } });
      }
      return this.remix(id, { ...version.mix, parts }, asker);
    }
    const scan = await this.#scan(addedFilesOf(version), asker);
    return scan.hash === version.hash ? dataset : this.#putVersion(dataset, scan);
  }

  /** Makes the next version by another mapping of the columns; null leaves the format to be recognized. */
  async map(id: string, mapping: ColumnMapping | null, asker: Asker): Promise<Dataset> {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    requireNoMix(dataset);
    if (JSON.stringify(mapping) === JSON.stringify(dataset.version.mapping)) return dataset;
    const { mapping: _, ...data } = dataFilesOf(dataset.version);
    const scan = await this.#scan({ ...data, ...(mapping === null ? {} : { mapping }) }, asker);
    requireSame(scan, dataset.version);
    const { files } = dataset.version;
    return this.#putVersion(dataset, { ...scan, files }, { mapping, mix: null });
  }

  /**
   * Makes the next version by reading a file or folder at another place, where a person has moved it. Throws a `Problem` where
   * the content is another one, unless a person has said that it is meant.
   */
  async relocate(
    id: string,
    { from, to, evenIfChanged = false }: Omit<Params<EngineRequests, 'datasets.relocate'>, 'id'>,
    asker: Asker,
  ): Promise<Dataset> {
    requireAbsolute(to);
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    requireNoMix(dataset);
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
    const scan = await this.#scan({ ...data, ...files }, asker);
    if (!evenIfChanged) requireMoved(scan, dataset.version, { to, moved });
    return this.#putVersion(dataset, scan);
  }

  /** Makes the next version by one more change to the rows of the present one, whose files must be unchanged. */
  async change(id: string, change: AskedChange, asker: Asker): Promise<Dataset> {
    const { datasets } = this.#context.store;
    const dataset = found(datasets.get(id), 'data set', id);
    const { version } = dataset;
    const at = await this.dataAt({ versionId: version.id }, asker);
    if (change.kind === 'split' && at.mix === undefined && (at.evalPaths?.length ?? 0) > 0)
      throw new Problem(
        'request-invalid',
        `'${dataset.name}' already has evaluation files: ${at.evalPaths!.join(', ')}.`,
        'Rows can be held back only from a data set without evaluation files.',
      );
    const { hashes: _, version: __, fromFolders: ___, ...data } = at;
    const made = change.kind === 'balance' ? { seed: 0, ...change } : change;
    const scan = await this.#scan(data, asker, made);
    const { files } = found(datasets.version(version.id), 'version of the data set', version.id);
    requireSame(scan, { files });
    return this.#putVersion(dataset, { ...scan, files });
  }

  /** Returns what the files of a mix hold. They must be what the versions of its parts say. */
  async #scanMix({ hashes = {}, ...data }: DataAt, asker: Asker): Promise<DataScan> {
    const scan = await this.#scan(data, asker);
    // Files that no version names may hold anything.
    const named = scan.files.filter(({ path }) => hashes[path] !== undefined);
    requireSame({ ...scan, files: named }, { files: named.map((file) => ({ ...file, sha256: hashes[file.path]! })) });
    return scan;
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

  #putVersion(
    dataset: Dataset,
    scan: DataScan,
    { mapping, mix }: Pick<DatasetVersion, 'mapping' | 'mix'> = dataset.version,
  ): Dataset {
    const { store, emit } = this.#context;
    const { id: datasetId, version } = dataset;
    const sequence = 1 + Math.max(...store.datasets.versions(datasetId).map((one) => one.sequence));
    const next = versionOf({ datasetId, sequence, parent: version.sequence, mapping, mix }, scan);
    store.datasets.insertVersion(next);
    emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
    return { ...dataset, version: next };
  }

  #scan(data: DataAt, asker?: Asker, change?: AskedChange): Promise<DataScan> {
    const spec = { kind: 'scan', data, ...(change === undefined ? {} : { change }) } as const;
    return runReader<DataScan>(this.#context, spec, data.paths[0]!, { asker });
  }

  /** Returns the files of rows, with their hashes if a version of a data set names them. */
  async dataAt(ref: DataRef, asker?: Asker): Promise<DataAt> {
    if ('mix' in ref) return this.#mixAt(ref, asker);
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

  /** Returns the files of a mix. A part that names a version becomes what that version holds. */
  async #mixAt({ mix: { parts: asked, seed }, changes = [] }: MixedData, asker?: Asker): Promise<DataAt> {
    if (asked.length === 0) throw new Problem('request-invalid', 'A mix needs a part.', 'Name at least one data set.');
    const parts: MixPart[] = [];
    const hashes: Record<string, string> = {};
    for (const { name, data: ref, repeat, most } of asked) {
      const at = 'versionId' in ref ? await this.dataAt(ref, asker) : partFiles(ref);
      const { hashes: own = {}, version, mix, fromFolders: _, ...data } = at;
      if (mix !== undefined)
        throw new Problem('request-invalid', `'${version!.dataset}' is a mix itself.`, 'Name its parts as parts of this one.');
      Object.assign(hashes, own);
      const wanted = name?.trim() ? requireName(name, 'part') : (version?.dataset ?? nameOfFiles(data));
      let named = wanted;
      for (let n = 2; parts.some((part) => part.name === named); n++) named = `${wanted} (${n})`;
      parts.push({
        ...{ name: named, data, repeat },
        ...(version && { version }),
        ...(most !== undefined && { most }),
      });
    }
    if (!parts.some(({ repeat, data }) => repeat > 0 && data.paths.length > 0))
      throw new Problem('request-invalid', 'No part of the mix is trained on.', 'Give one of them a number above 0.');
    return {
      ...filesOfMix({ parts, seed }),
      ...(changes.length > 0 && { changes }),
      ...(Object.keys(hashes).length > 0 && { hashes }),
    };
  }

  remove(id: string): void {
    const dataset = found(this.#context.store.datasets.get(id), 'data set', id);
    this.#context.store.datasets.remove(id);
    this.#context.emit('list.changed', { projectId: dataset.projectId, list: 'datasets' });
  }
}

function versionOf(
  of: Pick<DatasetVersion, 'datasetId' | 'sequence' | 'parent' | 'mapping' | 'mix'>,
  scan: DataScan,
): DatasetVersion {
  return { id: randomUUID(), ...of, ...scan, createdAt: Date.now() };
}

function pathsOf({ files }: DatasetVersion, of: Split): readonly string[] {
  return files.filter(({ split }) => split === of).map(({ path }) => path);
}

/** Returns a mix with the files of its parts. */
function filesOfMix(mix: Mix): DataAt {
  return {
    mix,
    paths: mix.parts.flatMap(({ data }) => data.paths),
    evalPaths: mix.parts.flatMap(({ data }) => data.evalPaths ?? []),
  };
}

function dataFilesOf(version: DatasetVersion): DataAt {
  const { mapping, changes, mix } = version;
  if (mix !== null) return { ...filesOfMix(mix), ...(changes.length === 0 ? {} : { changes }) };
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

/** Refuses what is done to the files of a data set, where these are the files of the parts of a mix. */
function requireNoMix({ name, version: { mix } }: Dataset): void {
  if (mix !== null)
    throw new Problem(
      'request-invalid',
      `'${name}' is a mix of ${mix.parts.map((part) => part.name).join(', ')}.`,
      'Change the data set that is its part, then make a new version of the mix.',
    );
}

/** Throws a Problem if the scanned files are not those of a version. */
function requireSame(scan: DataScan, { files }: Pick<DatasetVersion, 'files'>): void {
  const hashes = new Map(files.map(({ path, sha256 }) => [path, sha256]));
  const changed = scan.files.filter(({ path, sha256 }) => hashes.get(path) !== sha256).map(({ path }) => path);
  if (changed.length > 0) throw changedProblem(changed, 'the version of the data set was made');
}

/** Throws a `Problem` if the files at another place are not those of a version. */
function requireMoved(
  scan: DataScan,
  version: DatasetVersion,
  { to, moved }: { readonly to: string; readonly moved: (path: string) => string },
): void {
  const before = new Map(version.files.map(({ path, sha256 }) => [moved(path), sha256]));
  const differs = scan.files.filter(({ path, sha256 }) => before.get(path) !== sha256);
  if (scan.hash === version.hash || (differs.length === 0 && scan.files.length === version.files.length)) return;
  const rows = ({ trainRows, evalRows }: DataScan): string =>
    trainRows + evalRows === 1 ? '1 row' : `${trainRows + evalRows} rows`;
  const hashes = differs.map(
    ({ path, sha256 }) => ` SHA-256 ${sha256?.slice(0, 12)}…, ${before.get(path)?.slice(0, 12) ?? 'not known'}… before.`,
  );
  throw new Problem(
    'data-changed',
    `What is at '${to}' is not what the data set was made of: ${rows(scan)} with it, ${rows(version)} before.${hashes.length === 1 ? hashes[0]! : ''}`,
    'Name the file that was moved, or say that this one is to be used all the same.',
  );
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

/** Returns the name that files have where nobody gives them one. */
function nameOfFiles({ paths, evalPaths = [] }: DataFiles): string {
  const first = [...paths, ...evalPaths][0]!;
  return shown(basename(first, extname(first)), longestName);
}

/** Returns the files of a part of a mix, which may have rows to evaluate on and none to train on. */
function partFiles(files: DataFiles): DataAt {
  const { paths, evalPaths = [] } = files;
  requireFiles(paths.length === 0 ? { paths: evalPaths } : files);
  return files;
}

function requireFiles({ paths, evalPaths = [] }: DataFiles): void {
  if (paths.length === 0)
    throw new Problem('request-invalid', 'At least one data file is needed.', `Choose a ${dataFileNames} file.`);
  for (const path of [...paths, ...evalPaths]) {
    if (isHubName(path))
      throw new Problem(
        'format-unsupported',
        `'${path}' is a data set of a hub, and these are not fetched yet.`,
        `Download its files, and give those: ${dataFileNames} are read.`,
      );
    requireAbsolute(path);
  }
}
