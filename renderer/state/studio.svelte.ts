/** Holds everything the window knows. It is made once and handed down by context. */
import { getContext, setContext } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type {
  AdapterVersion,
  AskedChange,
  AskedMix,
  ColumnMapping,
  Dataset,
  DatasetVersion,
  Identification,
  Inspection,
  PastedText,
  ProblemValue,
  SampleName,
  Split,
  StudioBridge,
  VersionFile,
} from '../../engine/contract.ts';
import { isDataFile } from '../../engine/data-files.ts';
import { fileName, isolated, plural } from '../ui/format.ts';
import { AdaptersState } from './adapters.svelte.ts';
import { ChatState } from './chat.svelte.ts';
import { announceEnds } from './announce-ends.ts';
import { DatasetsState } from './datasets.svelte.ts';
import { type Asking, Engine, EngineProblem, problemOf } from './engine.ts';
import { EvaluationsState } from './evaluations.svelte.ts';
import { ExportsState } from './exports.svelte.ts';
import { ImportDraft } from './import-draft.svelte.ts';
import { sameRows } from './known-data.ts';
import { MachineState } from './machine.svelte.ts';
import { ModelsState } from './models.svelte.ts';
import { Notices } from './notices.svelte.ts';
import { PlaygroundState } from './playground.svelte.ts';
import { ProjectState } from './project.svelte.ts';
import { Router } from './router.svelte.ts';
import { RunsState } from './runs.svelte.ts';
import { SampleProject } from './sample-project.svelte.ts';
import { ServingState } from './serving.svelte.ts';
import { ThemeState } from './theme.svelte.ts';

/** Something else than the file of a data set that was moved, which a person has chosen in its place. */
export interface OtherFile {
  readonly from: string;
  readonly to: string;
  /** Says how it differs. */
  readonly problem: ProblemValue;
}

export class Studio {
  readonly engine: Engine;
  readonly router = new Router();
  readonly notices = new Notices();
  readonly theme: ThemeState;
  readonly machine: MachineState;
  readonly project: ProjectState;
  readonly models: ModelsState;
  readonly datasets: DatasetsState;
  readonly runs: RunsState;
  readonly adapters: AdaptersState;
  readonly evaluations: EvaluationsState;
  readonly exports: ExportsState;
  readonly chat: ChatState;
  readonly playground: PlaygroundState;
  readonly serving: ServingState;
  readonly sample: SampleProject;
  /** Says why the engine does not answer, or is null while it does. */
  engineProblem = $state.raw<ProblemValue | null>(null);
  paletteOpen = $state(false);
  /** Says whether a person is naming the open project. */
  naming = $state(false);
  /**
   * Holds a model that has an unknown field, while a person decides whether to open it, and the fields that were accepted
   * before.
   */
  refusedModel = $state.raw<{ path: string; field: string; message: string; accepted: readonly string[] } | null>(null);
  /** Holds files that are about to become a data set, while a person looks at what they are recognized as. */
  importing = $state.raw<ImportDraft | null>(null);
  /** Says whether a person is pasting rows. */
  pasting = $state(false);
  /** Holds what the present screen does for a command, by command id. */
  readonly offered = new SvelteMap<string, () => void>();

  constructor(bridge: StudioBridge) {
    const engine = new Engine(bridge);
    this.engine = engine;
    this.theme = new ThemeState(engine);
    this.machine = new MachineState(engine);
    this.models = new ModelsState(engine, this.notices);
    this.datasets = new DatasetsState(engine, this.notices);
    this.runs = new RunsState(engine);
    this.adapters = new AdaptersState(engine);
    this.evaluations = new EvaluationsState(engine, this.notices);
    this.exports = new ExportsState(engine);
    this.chat = new ChatState(engine);
    this.playground = new PlaygroundState(this.chat, this.adapters);
    this.serving = new ServingState(engine);
    this.sample = new SampleProject(engine);
    this.project = new ProjectState(engine, (id) => this.#openLists(id));
    announceEnds(engine, () => document.hasFocus());
    engine.on('list.changed', ({ projectId, list }) => {
      if (list !== 'projects' && projectId === this.project.currentId) void this[list].list.load();
    });
    engine.on('notices.changed', () => this.attempt(() => this.#tellNotices()));
    engine.on('shell.engine', ({ state, problem }) => {
      this.engineProblem = state === 'lost' ? (problem ?? lostProblem) : null;
      if (state === 'ready') void this.load();
    });
  }

  /** Loads everything the frame shows, at the start and whenever the engine has come back. */
  async load(): Promise<void> {
    await Promise.all([this.machine.load(), this.project.load(), this.sample.load(), this.serving.load()]);
    this.#openLists(this.project.current?.id ?? null);
    await this.runs.catchUp();
    await this.#tellNotices();
  }

  /** Shows what the engine has to tell of its database. */
  async #tellNotices(): Promise<void> {
    for (const notice of await this.engine.request('notices.take')) this.notices.warn(notice);
  }

  /** Offers a command while the present screen is shown; the returned function takes it back. */
  offer(id: string, action: () => void): () => void {
    this.offered.set(id, action);
    return () => this.offered.delete(id);
  }

  /** Asks for files and adds them as a model. */
  async openModel(): Promise<void> {
    await this.#reporting(async () => {
      const paths = await this.engine.request('shell.chooseFiles', { title: 'Open a model', kind: 'model' });
      const path = paths?.[0];
      if (path !== undefined) await this.addModel(path);
    });
  }

  /** Adds a model. A person decides about one that has an unknown field. */
  async addModel(path: string, accepted: readonly string[] = []): Promise<void> {
    await this.#reporting(async () => {
      try {
        const model = await this.notices.during(`Reading ${nameOf(path)}`, async (asking) =>
          this.models.add(await this.project.ensure(), path, accepted, asking),
        );
        this.router.go('models', { id: model.id });
      } catch (error) {
        const field = unknownField(error);
        if (field === null) throw error;
        this.refusedModel = { path, field, message: problemOf(error).message, accepted };
      }
    });
  }

  /** Asks for files of rows, or for a folder of texts, and shows what they are taken for. */
  async importData(kind: 'data' | 'folder' = 'data'): Promise<void> {
    await this.#reporting(async () => {
      const paths = await this.engine.request('shell.chooseFiles', { title: 'Import data', kind });
      if (paths !== null && paths.length > 0) this.addData(paths);
    });
  }

  /** Shows what files are taken for before they become a data set. What is being imported already gets them too. */
  addData(paths: readonly string[]): void {
    if (this.importing !== null) this.importing.add(paths);
    else this.importing = new ImportDraft(this.datasets, paths);
  }

  /** Keeps pasted rows as a file of the project, and shows what it is taken for. */
  async addPasted(text: string, format: PastedText['format']): Promise<void> {
    const projectId = await this.project.ensure();
    const paths = await this.datasets.keep({ projectId, text, format });
    this.pasting = false;
    this.importing = new ImportDraft(this.datasets, paths, true);
  }

  closeImport(): void {
    this.importing?.close();
    this.importing = null;
  }

  /** Opens the data set that was made of the same files before. */
  openKnown(id: string): void {
    this.closeImport();
    this.router.go('datasets', { id });
  }

  /** Makes a data set of what is being imported. Where that fails, the draft says why and stays. */
  async finishImport(draft: ImportDraft): Promise<void> {
    draft.problem = null;
    try {
      const dataset = await this.notices.during(`Reading ${isolated(draft.name)}`, async (asking) => {
        const projectId = await this.project.ensure();
        const of = (split: Split) => draft.files.filter((file) => file.split === split).map(({ path }) => path);
        const placed = async (paths: readonly string[]) =>
          draft.copies && paths.length > 0 ? this.datasets.keep({ projectId, paths }) : paths;
        const data = {
          ...{ paths: await placed(of('train')), evalPaths: await placed(of('eval')) },
          ...(draft.mapping === null ? {} : { mapping: draft.mapping }),
        };
        return this.datasets.add({ projectId, name: draft.name.trim(), data }, asking);
      });
      if (this.importing === draft) this.closeImport();
      this.router.go('datasets', { id: dataset.id });
      const same = sameRows(dataset, this.datasets.list.items);
      if (same !== null) this.notices.done(`${isolated(dataset.name)} has the same rows as ${isolated(same.name)}`);
    } catch (error) {
      draft.problem = problemOf(error);
    }
  }

  /** Makes a version of what the files of a data set hold now. */
  renewDataset(dataset: Dataset): Promise<void> {
    return this.#newVersion(dataset, (asking) => this.datasets.addVersion(dataset.id, asking));
  }

  /** Makes a mix of data sets, or the next version of one, and opens it. Returns whether it was made. */
  async mixDatasets(id: string | null, name: string, mix: AskedMix): Promise<boolean> {
    let isMade = false;
    await this.#reporting(async () => {
      const projectId = await this.project.ensure();
      const dataset = await this.notices.during(name === '' ? 'Mixing data sets' : `Mixing ${isolated(name)}`, (asking) =>
        this.datasets.mix({ projectId, id, name, mix }, asking),
      );
      isMade = true;
      this.router.go('datasets', { id: dataset.id });
    });
    return isMade;
  }

  /** Makes the next version of a mix, of other parts. */
  remixDataset(dataset: Dataset, mix: AskedMix): Promise<void> {
    return this.#newVersion(dataset, async (asking) => void (await this.datasets.mix({ ...dataset, mix }, asking)));
  }

  /** Makes a version of a data set with a change of what is done to its rows. */
  changeDataset(dataset: Dataset, change: AskedChange): Promise<void> {
    return this.#newVersion(dataset, (asking) => this.datasets.change(dataset.id, change, asking));
  }

  /** Makes a version of a data set whose columns mean something else. */
  mapDataset(dataset: Dataset, mapping: ColumnMapping | null): Promise<void> {
    return this.#newVersion(dataset, (asking) => this.datasets.map(dataset.id, mapping, asking));
  }

  /**
   * Asks where a file or folder of a data set lies now, and makes a version that reads it there. Where something else lies there, it is
   * returned, for a person to decide.
   */
  async findDataset(dataset: Dataset, { path, folder }: VersionFile): Promise<OtherFile | null> {
    const from = folder ?? path;
    const kind = folder === undefined ? 'data' : 'folder';
    let other: OtherFile | null = null;
    await this.#reporting(async () => {
      const [to] = (await this.engine.request('shell.chooseFiles', { title: `Find ${nameOf(from)}`, kind })) ?? [];
      if (to === undefined) return;
      try {
        await this.#makeVersion(dataset, (asking) => this.datasets.relocate({ id: dataset.id, from, to }, asking));
      } catch (error) {
        const problem = problemOf(error);
        if (problem.code !== 'data-changed') throw error;
        other = { from, to, problem };
      }
    });
    return other;
  }

  /** Makes a version that reads another file than the one that was moved. */
  takeOtherFile(dataset: Dataset, { from, to }: OtherFile): Promise<void> {
    const moved = { id: dataset.id, from, to, evenIfChanged: true };
    return this.#newVersion(dataset, (asking) => this.datasets.relocate(moved, asking));
  }

  #newVersion(dataset: Dataset, make: (asking: Asking) => Promise<void>): Promise<void> {
    return this.#reporting(() => this.#makeVersion(dataset, make));
  }

  /** Does what makes a version of a data set, says in what it differs, and offers to take it back. */
  async #makeVersion(dataset: Dataset, make: (asking: Asking) => Promise<void>): Promise<void> {
    const { id, name, version } = dataset;
    await this.notices.during(`Reading ${isolated(name)}`, make);
    if (this.datasets.list.find(id)?.version.id === version.id) return;
    const [made] = await this.datasets.versions(id);
    if (made !== undefined) this.notices.done(made.difference, () => void this.useVersion(dataset, version.id));
  }

  async renameDataset({ id }: Dataset, name: string): Promise<void> {
    await this.#reporting(() => this.datasets.rename(id, name));
  }

  /** Asks for a place and writes the rows of a version there. */
  async exportRows({ name }: Dataset, version: DatasetVersion, split: Split): Promise<void> {
    await this.#reporting(async () => {
      const suggested = `${name}${split === 'eval' ? '-eval' : ''}.jsonl`;
      const out = await this.engine.request('shell.chooseSavePath', { title: 'Export rows', suggested, directory: false });
      if (out === null) return;
      const { rows, changed } = await this.notices.during(`Writing ${nameOf(out)}`, (asking) =>
        this.datasets.write(version.id, split, out, asking),
      );
      this.notices.done(
        `${plural(rows, 'row')} written to ${nameOf(out)}${changed.length === 0 ? '' : `. ${changed.join('; ')}`}`,
      );
    });
  }

  /** Goes back to a version of a data set; null: to the one that the present one was made of. */
  async useVersion({ id }: Dataset, versionId: string | null): Promise<void> {
    await this.#reporting(() => this.datasets.use(id, versionId));
  }

  /** Adds what was dropped on the window: all files of rows as one data set, and anything else one by one. */
  async addDropped(paths: readonly string[]): Promise<void> {
    const rows = paths.filter((path) => isDataFile(path));
    if (rows.length > 0) this.addData(rows);
    for (const path of paths.filter((path) => !rows.includes(path))) {
      await this.#reporting(async () => {
        const known = await this.notices.during(`Reading ${nameOf(path)}`, (asking) =>
          this.engine.request('exports.identify', { path }, asking),
        );
        if (known !== null) return this.#showOrigin(known);
        const kind = await this.notices.during(`Reading ${nameOf(path)}`, (asking) => this.#kindOf(path, asking));
        if (kind === 'adapter') await this.#addAdapter(path);
        else if (kind === 'dataset') this.addData([path]);
        else await this.addModel(path);
      });
    }
  }

  /** Opens the run that a known file was exported from, or else its export, and says whether the file is as it was written. */
  #showOrigin({ path, export: record, run, lineage, changed }: Identification): void {
    const projectId = run?.projectId ?? record?.projectId ?? null;
    if (projectId !== null && projectId !== this.project.currentId) this.project.open(projectId);
    if (run !== null) this.router.go('run', { id: run.id });
    else if (record !== null) this.router.go('exports', { id: record.id });
    const from = run?.name ?? record?.adapterName ?? lineage?.adapters.map(({ name }) => name).join(' and ') ?? '';
    if (changed !== null && changed.length > 0)
      throw new EngineProblem({
        code: 'file-damaged',
        message: `${nameOf(path)} was exported from ${isolated(from)}, but is not what was written: ${changed.join(', ')} changed since.`,
        hint: 'Its proof no longer holds. Export it again.',
      });
    this.notices.done(
      `${nameOf(path)} was exported from ${isolated(from)}${changed === null ? '' : ', and is as it was written'}`,
    );
  }

  async #kindOf(path: string, asking: Asking): Promise<Inspection['kind']> {
    try {
      return (await this.engine.request('inspect.path', { path }, asking)).kind;
    } catch (error) {
      // A person is asked about such a model when it is added.
      if (unknownField(error) !== null) return 'model';
      throw error;
    }
  }

  /** Imports an adapter for the first model of the project that its shapes fit, because an adapter does not always name its base. */
  async #addAdapter(path: string): Promise<void> {
    const projectId = await this.project.ensure();
    const models = await this.engine.request('models.list', { projectId });
    let added: AdapterVersion | null = null;
    let refusal: unknown = new EngineProblem({
      code: 'not-found',
      message: `There is no model that the adapter ${nameOf(path)} could belong to.`,
      hint: 'Open its base model first.',
    });
    for (const model of models) {
      if (added !== null) break;
      try {
        added = await this.adapters.import(projectId, path, model.id);
      } catch (error) {
        refusal = error;
      }
    }
    if (added === null) throw refusal;
    this.notices.done(`${isolated(added.name)} imported for ${isolated(added.modelName)}`);
    this.router.go('adapters', { id: added.id });
  }

  /** Starts a sample and opens the project it makes. */
  async startSample(name: SampleName): Promise<void> {
    await this.sample.start(name);
    const projectId = this.sample.status?.projectId;
    if (projectId === undefined || this.sample.problem !== null) return;
    await this.project.load();
    if (projectId !== this.project.currentId) this.project.open(projectId);
  }

  /** Compares the adapter of the sample with the alternatives to it, and opens the comparison. */
  compareSample(): Promise<void> {
    return this.#reporting(async () => {
      const { id, projectId } = await this.engine.request('sample.compare');
      if (projectId !== this.project.currentId) this.project.open(projectId);
      this.router.go('evaluate', { id });
    });
  }

  /** Runs the action of a button or command, and shows a failure as a notice. */
  attempt(action: () => Promise<unknown>): void {
    void this.#reporting(action);
  }

  async #reporting(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.notices.failed(error);
    }
  }

  /** Loads the lists of a project. Whether there is a project is known only once the list of projects has been loaded. */
  #openLists(projectId: string | null): void {
    if (projectId === null && this.project.asked.problem !== null) return;
    const domains = [this.models, this.datasets, this.runs, this.adapters, this.evaluations, this.exports];
    for (const domain of domains) void domain.list.load(projectId);
  }
}

/** Returns the unknown field that a model was refused for, or null for any other failure. */
function unknownField(error: unknown): string | null {
  const { code, field } = problemOf(error);
  return code === 'field-unknown' && field !== undefined ? field : null;
}

/** Returns the file's own name, fit for a sentence. */
const nameOf = (path: string): string => isolated(fileName(path));

const lostProblem: ProblemValue = {
  code: 'host-unreachable',
  message: 'The engine is not answering.',
  hint: 'It is being restarted; runs continue by themselves.',
};

const key = Symbol('studio');
export const provideStudio = (studio: Studio): Studio => setContext(key, studio);
export const useStudio = (): Studio => getContext<Studio>(key);
