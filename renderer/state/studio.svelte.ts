/** Everything the window knows, made once and handed down by context. */
import { getContext, setContext } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type {
  AdapterVersion,
  ColumnMapping,
  DataColumns,
  Dataset,
  Identification,
  Inspection,
  ProblemValue,
  StudioBridge,
} from '../../engine/contract.ts';
import { isDataFile } from '../../engine/data-files.ts';
import { AdaptersState } from './adapters.svelte.ts';
import { ChatState } from './chat.svelte.ts';
import { announceEnds } from './announce-ends.ts';
import { DatasetsState } from './datasets.svelte.ts';
import { type Asking, Engine, EngineProblem, problemOf } from './engine.ts';
import { ExportsState } from './exports.svelte.ts';
import { MachineState } from './machine.svelte.ts';
import { ModelsState } from './models.svelte.ts';
import { Notices } from './notices.svelte.ts';
import { PlaygroundState } from './playground.svelte.ts';
import { ProjectState } from './project.svelte.ts';
import { Router } from './router.svelte.ts';
import { RunsState } from './runs.svelte.ts';
import { SampleState } from './sample.svelte.ts';
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
  readonly sample: SampleState;
  /** Set while the engine host is away. */
  engineProblem = $state.raw<ProblemValue | null>(null);
  paletteOpen = $state(false);
  /** The open project is being given a name. */
  naming = $state(false);
  /** A model with a field that nobody here knows, while a person decides; and the fields accepted before it. */
  refusedModel = $state.raw<{ path: string; field: string; message: string; accepted: readonly string[] } | null>(null);
  /** Files of rows whose fields nobody knows, while a person says what they mean. */
  unmappedData = $state.raw<{ paths: readonly string[]; columns: DataColumns['columns'] } | null>(null);
  /** What the present screen does for a command, by command id. */
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
    this.sample = new SampleState(engine);
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

  /** Loads everything the frame shows; also after the engine came back. */
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

  /** Adds a model; one with a field that nobody knows is put before a person. */
  async addModel(path: string, accepted: readonly string[] = []): Promise<void> {
    await this.#reporting(async () => {
      const projectId = await this.project.ensure();
      try {
        const model = await this.notices.during(`Reading ${nameOf(path)}`, (asking) =>
          this.models.add(projectId, path, accepted, asking),
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

  /** Adds files of rows as one data set; where nobody knows what their fields mean, a person is asked first. */
  async addData(paths: readonly string[], mapping?: ColumnMapping): Promise<void> {
    await this.#reporting(async () => {
      const files = splitByName(paths);
      const projectId = await this.project.ensure();
      const name = nameByPath(files.paths[0] ?? '');
      const dataset = await this.notices.during(`Reading ${paths.map(nameOf).join(', ')}`, async (asking) => {
        const { format, columns } = await this.datasets.columns(files.paths[0] ?? '', asking);
        if (mapping === undefined && format === null && columns.length > 0) {
          this.unmappedData = { paths, columns };
          return null;
        }
        const data = { ...files, ...(mapping === undefined ? {} : { mapping }) };
        return this.datasets.add({ projectId, name, data }, asking);
      });
      if (dataset !== null) this.router.go('datasets', { id: dataset.id });
    });
  }

  /** Makes a version of what the files of a data set hold now. */
  async renewDataset({ id, name }: Dataset): Promise<void> {
    await this.#reporting(() => this.notices.during(`Reading ${name}`, (asking) => this.datasets.addVersion(id, asking)));
  }

  /** Adds what was dropped on the window: files of rows together as one data set, anything else for itself. */
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
        else await this.addModel(path);
      });
    }
  }

  /** An export that is known again: opens the run that made it, or else its export, and says whether it is still what was written. */
  #showOrigin({ path, export: record, run, lineage, changed }: Identification): void {
    const projectId = run?.projectId ?? record?.projectId ?? null;
    if (projectId !== null && projectId !== this.project.currentId) this.project.open(projectId);
    if (run !== null) this.router.go('run', { id: run.id });
    else if (record !== null) this.router.go('exports', { id: record.id });
    const from = run?.name ?? record?.adapterName ?? lineage?.adapters.map(({ name }) => name).join(' and ') ?? '';
    if (changed !== null && changed.length > 0)
      throw new EngineProblem({
        code: 'file-damaged',
        message: `${nameOf(path)} was exported from ${from}, but is not what was written: ${changed.join(', ')} changed since.`,
        hint: 'What was proved of it holds no more. Export it again.',
      });
    this.notices.done(`${nameOf(path)} was exported from ${from}${changed === null ? '' : ', and is as it was written'}`);
  }

  async #kindOf(path: string, asking: Asking): Promise<Inspection['kind']> {
    try {
      return (await this.engine.request('inspect.path', { path }, asking)).kind;
    } catch (error) {
      // A model that is asked about when it is added.
      if (unknownField(error) !== null) return 'model';
      throw error;
    }
  }

  /** An adapter does not always name its base; the first model of the project that its shapes fit takes it. */
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
    this.notices.done(`${added.name} imported for ${added.modelName}`);
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

  /** Runs an action of a button or command; a failure becomes a notice. */
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

  #openLists(projectId: string | null): void {
    for (const domain of [this.models, this.datasets, this.runs, this.adapters, this.exports]) void domain.list.load(projectId);
  }
}

/** The field a model was refused for; null for any other failure. */
function unknownField(error: unknown): string | null {
  const { code, field } = problemOf(error);
  return code === 'field-unknown' && field !== undefined ? field : null;
}

const nameOf = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;

const lostProblem: ProblemValue = {
  code: 'host-unreachable',
  message: 'The engine is not answering.',
  hint: 'It is being started again; runs go on by themselves.',
};

const key = Symbol('studio');
export const provideStudio = (studio: Studio): Studio => setContext(key, studio);
export const useStudio = (): Studio => getContext<Studio>(key);
