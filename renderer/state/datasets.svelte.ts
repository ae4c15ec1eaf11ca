import { SvelteMap } from 'svelte/reactivity';
import type {
  AllRequests,
  AskedChange,
  DataColumns,
  DataReport,
  Dataset,
  Params,
  Progress,
  RowView,
  Split,
  VersionDifference,
  ViewingRows,
} from '../../engine/contract.ts';
import { isolated } from '../ui/format.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';
import type { Notices } from './notices.svelte.ts';

/** Holds the data sets of the open project, and asks for their rows and reports. */
export class DatasetsState {
  readonly list: Collection<Dataset>;
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

  async add(request: Params<AllRequests, 'datasets.add'>, asking: Asking): Promise<Dataset> {
    const dataset = await this.#engine.request('datasets.add', request, asking);
    this.list.apply(dataset);
    return dataset;
  }

  /** Removes a data set from the project; its files stay. */
  remove(dataset: Dataset): void {
    this.list.setHidden(dataset.id, true);
    this.#notices.undoable(
      `${isolated(dataset.name)} taken out of the project`,
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

  /** Returns a page of rows, and how many there are: as many as in the version, until the files have been read to their end. */
  async rows(
    { version }: Dataset,
    modelId: string,
    question: { split: Split; offset: number; limit: number; maxLength: number },
  ): Promise<{ rows: readonly RowView[]; total: number }> {
    const known = question.split === 'train' ? version.trainRows : version.evalRows;
    if (known === 0) return { rows: [], total: 0 };
    const of = { model: { id: modelId }, data: { versionId: version.id } };
    const { rows, total } = await this.#engine.request('data.rows', { ...of, ...question });
    return { rows, total: total ?? known };
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
      const of = { model: { id: modelId }, data: { versionId: version.id }, split };
      return await this.#engine.request('data.report', { ...of, ...reading, maxLength });
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
