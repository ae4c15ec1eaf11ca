import { SvelteMap } from 'svelte/reactivity';
import type {
  AllRequests,
  AskedChange,
  AskedMix,
  AskedPart,
  ColumnMapping,
  ColumnValues,
  DataColumns,
  DataReport,
  Dataset,
  DatasetVersion,
  FoundRow,
  FoundText,
  RowPlace,
  Params,
  Progress,
  PartCounts,
  ReadFiles,
  RowDetail,
  RowLine,
  RowLosses,
  RowPack,
  SourceRecord,
  Split,
  VersionDifference,
  ViewingRows,
  WorstRows,
  WrittenRows,
} from '../../engine/contract.ts';
import type { RecipeInput } from '../../engine/recipe.ts';
import { isolated } from '../ui/format.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';
import type { Notices } from './notices.svelte.ts';
import { Viewings } from './viewings.svelte.ts';

/** Names the rows of a version, and the model that reads them. */
function of({ id }: DatasetVersion, modelId: string) {
  return { model: { id: modelId }, data: { versionId: id } };
}

/** Holds the data sets of the open project, and asks for their rows and reports. */
export class DatasetsState {
  readonly list: Collection<Dataset>;
  /** Says how each data set is looked at. */
  readonly viewings = new Viewings();
  /** Holds the progress of the check of each data set, by its id, while it lasts. */
  readonly progress = new SvelteMap<string, Progress>();
  readonly #engine: Engine;
  readonly #notices: Notices;
  /** Counts the reports of each data set that are on their way, by its id. */
  readonly #checking = new Map<string, number>();

  constructor(engine: Engine, notices: Notices) {
    this.#engine = engine;
    this.#notices = notices;
    this.list = new Collection((projectId) => engine.request('datasets.list', { projectId }));
    engine.on('job.progress', ({ kind, subjectId, progress }) => {
      if (kind === 'data' && subjectId !== null && this.#checking.has(subjectId)) this.progress.set(subjectId, progress);
    });
  }

  columns(path: string, asking: Asking): Promise<DataColumns> {
    return this.#engine.request('datasets.columns', { path }, asking);
  }

  /** Returns the columns of all files of a data set, each with its first example. The texts of a folder have the same columns. */
  async columnsOf({ version }: Dataset): Promise<DataColumns['columns']> {
    const paths = new Map(version.files.map(({ path, folder = path }) => [folder, path])).values();
    const files = await Promise.all([...paths].map((path) => this.columns(path, {})));
    const byName = new Map<string, DataColumns['columns'][number]>();
    for (const column of files.flatMap(({ columns }) => columns))
      if (!byName.get(column.name)?.example) byName.set(column.name, column);
    return [...byName.values()];
  }

  async add(request: Params<AllRequests, 'datasets.add'>, asking: Asking): Promise<Dataset> {
    const dataset = await this.#engine.request('datasets.add', request, asking);
    this.list.apply(dataset);
    return dataset;
  }

  /** Copies files into the project, or writes pasted text to a file of it, and returns the paths. */
  async keep(kept: Params<AllRequests, 'datasets.keep'>): Promise<readonly string[]> {
    return (await this.#engine.request('datasets.keep', kept)).paths;
  }

  async rename(id: string, name: string): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.rename', { id, name }));
  }

  /** Makes a version with another meaning of the columns. */
  async map(id: string, mapping: ColumnMapping | null, asking: Asking): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.map', { id, mapping }, asking));
  }

  /** Makes a version that reads a file or folder where it lies now. */
  async relocate(moved: Params<AllRequests, 'datasets.relocate'>, asking: Asking): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.relocate', moved, asking));
  }

  /** Returns a row as its file has it. */
  record({ version }: Dataset, split: Split, row: number): Promise<SourceRecord> {
    return this.#engine.request('data.record', { data: { versionId: version.id }, split, row });
  }

  /** Returns where a row of another version is in this one, or null. */
  place({ version }: Dataset, before: string, split: Split, row: number): Promise<RowPlace | null> {
    return this.#engine.request('data.place', { data: { versionId: before }, split, row, in: { versionId: version.id } });
  }

  /** Returns where a text occurs in the files of the rows, in one column or, with null, in any. */
  occurrences({ version }: Dataset, find: string, column: string | null): Promise<FoundText> {
    const where = column === null ? {} : { column };
    return this.#engine.request('data.occurrences', { data: { versionId: version.id }, find, ...where });
  }

  values({ version }: Dataset, column: string): Promise<ColumnValues> {
    return this.#engine.request('data.values', { data: { versionId: version.id }, column });
  }

  /** Writes the rows of a version to a file, in the format of its ending. */
  write(versionId: string, split: Split, out: string, asking: Asking): Promise<WrittenRows> {
    return this.#engine.request('data.write', { data: { versionId }, split, out, replace: true }, asking);
  }

  /** Removes a data set from the project; its files stay. */
  remove(dataset: Dataset): void {
    this.list.setHidden(dataset.id, true);
    this.#notices.undoable(
      `${isolated(dataset.name)} removed from the project`,
      () => this.list.setHidden(dataset.id, false),
      async () => {
        await this.#engine.request('datasets.remove', { id: dataset.id });
        this.list.drop(dataset.id);
      },
    );
  }

  /** Makes a version of what the files of a data set hold now. */
  async addVersion(id: string, asking: Asking): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.addVersion', { id }, asking));
  }

  /** Makes a version with a change of what is done to the rows. */
  async change(id: string, change: AskedChange, asking: Asking): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.change', { id, change }, asking));
  }

  /** Makes a data set that is a mix of others, or with the id of a mix its next version. */
  async mix(
    { projectId, id, name, mix }: { projectId: string; id: string | null; name: string; mix: AskedMix },
    asking: Asking,
  ): Promise<Dataset> {
    const dataset =
      id === null
        ? await this.#engine.request('datasets.mix', { projectId, name, mix }, asking)
        : await this.#engine.request('datasets.remix', { id, mix }, asking);
    this.list.apply(dataset);
    return dataset;
  }

  /** Returns how many rows to train on, and tokens, each of several parts of a mix has by itself. */
  async partCounts(data: readonly AskedPart['data'][], modelId: string, asking: Asking): Promise<readonly PartCounts[]> {
    const mix: AskedMix = { parts: data.map((one) => ({ data: one, repeat: 1 })), seed: 0 };
    const question = { model: { id: modelId }, data: { mix }, split: 'train', maxLength: 1024 } as const;
    return (await this.#engine.request('data.report', question, asking)).parts;
  }

  versions(id: string): Promise<readonly VersionDifference[]> {
    return this.#engine.request('datasets.versions', { id });
  }

  /** Goes back to a version, or to the one that the present one was made of. */
  async use(id: string, versionId: string | null): Promise<void> {
    this.list.apply(
      versionId === null
        ? await this.#engine.request('datasets.undo', { id })
        : await this.#engine.request('datasets.use', { id, versionId }),
    );
  }

  /** Returns some rows, and how many there are: as many as in the version, until the files have been read to their end. */
  async rows(
    { version }: Dataset,
    modelId: string,
    question: { split: Split; offset: number; limit: number; maxLength: number } & ViewingRows,
  ): Promise<{ rows: readonly RowLine[]; total: number; files: ReadFiles | null }> {
    const known = question.split === 'train' ? version.trainRows : version.evalRows;
    if (known === 0) return { rows: [], total: 0, files: null };
    const { rows, total, ...files } = await this.#engine.request('data.rows', { ...of(version, modelId), ...question });
    return { rows, total: total ?? known, files };
  }

  /** Returns one row as its tokens. */
  row(
    { version }: Dataset,
    modelId: string,
    question: { split: Split; row: number; maxLength: number } & ViewingRows,
  ): Promise<RowDetail> {
    return this.#engine.request('data.row', { ...of(version, modelId), ...question });
  }

  /** Looks for a text from row `from` on; `next` is the row to go on from. */
  find(
    { version }: Dataset,
    modelId: string,
    question: { split: Split; text: string; from: number },
    asking: Asking,
  ): Promise<{ readonly found: readonly FoundRow[]; readonly next: number | null } & ReadFiles> {
    return this.#engine.request('data.find', { ...of(version, modelId), ...question }, asking);
  }

  /** Returns the sequence that a run with this recipe trains a row in. */
  pack({ version }: Dataset, modelId: string, row: number, recipe: RecipeInput): Promise<RowPack | null> {
    return this.#engine.request('data.pack', { ...of(version, modelId), split: 'train', row, recipe });
  }

  /** Returns the loss of each trained token of a row, without and with an adapter. */
  losses(
    { version }: Dataset,
    modelId: string,
    question: { adapter: string | null; split: Split; row: number; maxLength: number } & ViewingRows,
    asking: Asking,
  ): Promise<RowLosses> {
    return this.#engine.request('data.losses', { ...of(version, modelId), ...question }, asking);
  }

  /** Returns the evaluated rows that a run predicts worst. */
  worst(runId: string): Promise<WorstRows | null> {
    return this.#engine.request('runs.worst', { id: runId });
  }

  async report(
    { id: datasetId, version }: Dataset,
    modelId: string,
    split: Split,
    maxLength: number,
    reading: ViewingRows = {},
  ): Promise<DataReport> {
    this.#checking.set(datasetId, (this.#checking.get(datasetId) ?? 0) + 1);
    try {
      return await this.#engine.request('data.report', { ...of(version, modelId), split, ...reading, maxLength });
    } finally {
      const others = this.#checking.get(datasetId)! - 1;
      if (others > 0) this.#checking.set(datasetId, others);
      else {
        this.#checking.delete(datasetId);
        this.progress.delete(datasetId);
      }
    }
  }
}
