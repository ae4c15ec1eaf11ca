/** Holds everything the window knows. It is made once and handed down by context. */
import { getContext, setContext } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type {
  AdapterVersion,
  AskedChange,
  ColumnMapping,
  DataColumns,
  Dataset,
  Identification,
  Inspection,
  ProblemValue,
  StudioBridge,
} from '../../engine/contract.ts';
import { isDataFile } from '../../engine/data-files.ts';
import { isolated } from '../ui/format.ts';
import { AdaptersState } from './adapters.svelte.ts';
import { ChatState } from './chat.svelte.ts';
import { announceEnds } from './announce-ends.ts';
import { DatasetsState } from './datasets.svelte.ts';
import { type Asking, Engine, EngineProblem, problemOf } from './engine.ts';
import { ExportsState } from './exports.svelte.ts';
import { madeOf, sameRows } from './known-data.ts';
import { MachineState } from './machine.svelte.ts';
import { ModelsState } from './models.svelte.ts';
import { Notices } from './notices.svelte.ts';
import { PlaygroundState } from './playground.svelte.ts';
import { ProjectState } from './project.svelte.ts';
import { Router } from './router.svelte.ts';
import { RunsState } from './runs.svelte.ts';
import { SampleProject } from './sample-project.svelte.ts';
import { nameByPath, splitByName } from './split-by-name.ts';
import { ThemeState } from './theme.svelte.ts';

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
  readonly exports: ExportsState;
  readonly chat: ChatState;
  readonly playground: PlaygroundState;
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
  /** Holds files that an existing data set was made from, while a person says whether they are added again. */
  knownData = $state.raw<{ readonly paths: readonly string[]; readonly dataset: Dataset } | null>(null);
  /** Holds files of rows with unknown fields, while a person says what these mean. */
  unmappedData = $state.raw<({ paths: readonly string[] } & Pick<DataColumns, 'columns' | 'guess'>) | null>(null);
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
    this.exports = new ExportsState(engine);
    this.chat = new ChatState(engine);
    this.playground = new PlaygroundState(this.chat);
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
    await Promise.all([this.machine.load(), this.project.load(), this.sample.load()]);
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

  /** Asks for files and adds them as a data set. */
  async importData(): Promise<void> {
    await this.#reporting(async () => {
      const paths = await this.engine.request('shell.chooseFiles', { title: 'Import data', kind: 'data' });
      if (paths !== null && paths.length > 0) await this.addData(paths);
    });
  }

  /**
   * Adds files of rows as one data set. A person is asked first if a data set was already made from the same files, unless
   * `again` confirms it, and if the meaning of the fields is unknown.
   */
  async addData(
    paths: readonly string[],
    { mapping, again = false }: { readonly mapping?: ColumnMapping; readonly again?: boolean } = {},
  ): Promise<void> {
    await this.#reporting(async () => {
      const files = splitByName(paths);
      const known = again ? null : madeOf(files, this.datasets.list.items);
      if (known !== null) {
        this.knownData = { paths, dataset: known };
        return;
      }
      const name = nameByPath(files.paths[0] ?? '');
      const dataset = await this.notices.during(`Reading ${paths.map(nameOf).join(', ')}`, async (asking) => {
        const projectId = await this.project.ensure();
        const { format, columns, guess } = await this.datasets.columns(files.paths[0] ?? '', asking);
        if (mapping === undefined && format === null && columns.length > 0) {
          this.unmappedData = { paths, columns, guess };
          return null;
        }
        const data = { ...files, ...(mapping === undefined ? {} : { mapping }) };
        return this.datasets.add({ projectId, name, data }, asking);
      });
      if (dataset === null) return;
      this.router.go('datasets', { id: dataset.id });
      const same = sameRows(dataset, this.datasets.list.items);
      if (same !== null) this.notices.done(`${isolated(dataset.name)} has the same rows as ${isolated(same.name)}`);
    });
  }

  /** Makes a version of what the files of a data set hold now. */
  async renewDataset({ id, name }: Dataset): Promise<void> {
    await this.#reporting(() =>
      this.notices.during(`Reading ${isolated(name)}`, (asking) => this.datasets.addVersion(id, asking)),
    );
  }

  /** Makes a version of a data set with a change of what is done to its rows. */
  async changeDataset({ id, name }: Dataset, change: AskedChange): Promise<void> {
    await this.#reporting(() =>
      this.notices.during(`Reading ${isolated(name)}`, (asking) => this.datasets.change(id, change, asking)),
    );
  }

  /** Goes back to a version of a data set; null: to the one that the present one was made of. */
  async useVersion({ id }: Dataset, versionId: string | null): Promise<void> {
    await this.#reporting(() => this.datasets.use(id, versionId));
  }

  /** Adds what was dropped on the window: all files of rows as one data set, and anything else one by one. */
  async addDropped(paths: readonly string[]): Promise<void> {
    const rows = paths.filter((path) => isDataFile(path));
    if (rows.length > 0) await this.addData(rows);
    for (const path of paths.filter((path) => !rows.includes(path))) {
      await this.#reporting(async () => {
        const known = await this.notices.during(`Reading ${nameOf(path)}`, (asking) =>
          this.engine.request('exports.identify', { path }, asking),
        );
        if (known !== null) return this.#showOrigin(known);
        const kind = await this.notices.during(`Reading ${nameOf(path)}`, (asking) => this.#kindOf(path, asking));
        if (kind === 'adapter') await this.#addAdapter(path);
        else if (kind === 'dataset') await this.addData([path]);
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
        hint: 'What was proved of it holds no more. Export it again.',
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

  /** Starts the sample and opens the project it makes. */
  async startSample(): Promise<void> {
    await this.sample.start();
    const projectId = this.sample.status?.projectId;
    if (projectId === undefined || this.sample.problem !== null) return;
    await this.project.load();
    if (projectId !== this.project.currentId) this.project.open(projectId);
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
    for (const domain of [this.models, this.datasets, this.runs, this.adapters, this.exports]) void domain.list.load(projectId);
  }
}

/** Returns the unknown field that a model was refused for, or null for any other failure. */
function unknownField(error: unknown): string | null {
  const { code, field } = problemOf(error);
  return code === 'field-unknown' && field !== undefined ? field : null;
}

/** Returns the file's own name, fit for a sentence. */
const nameOf = (path: string): string => isolated(path.split(/[\\/]/).at(-1) ?? path);

const lostProblem: ProblemValue = {
  code: 'host-unreachable',
  message: 'The engine is not answering.',
  hint: 'It is being started again; runs go on by themselves.',
};

const key = Symbol('studio');
export const provideStudio = (studio: Studio): Studio => setContext(key, studio);
export const useStudio = (): Studio => getContext<Studio>(key);
