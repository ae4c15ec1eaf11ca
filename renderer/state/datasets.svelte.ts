import { SvelteMap } from 'svelte/reactivity';
import type { AllRequests, DataColumns, DataReport, Dataset, Params, Progress, RowView, Split } from '../../engine/contract.ts';
import type { RowSettings } from '../../engine/recipe.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';
import type { Notices } from './notices.svelte.ts';

/** The data sets of the open project, their rows and reports. */
export class DatasetsState {
  readonly list: Collection<Dataset>;
  /** How far the check of a data set is, by its id, while one is on its way. */
  readonly progress = new SvelteMap<string, Progress>();
  readonly #engine: Engine;
  readonly #notices: Notices;
  /** Of each data set, how many reports are on their way. */
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

  /** Takes it out of the project; its files stay. */
  remove(dataset: Dataset): void {
    this.list.setHidden(dataset.id, true);
    this.#notices.undoable(
      `${dataset.name} taken out of the project`,
      () => this.list.setHidden(dataset.id, false),
      async () => {
        await this.#engine.request('datasets.remove', { id: dataset.id });
        this.list.drop(dataset.id);
      },
    );
  }

  /** Makes a version of what its files hold now. */
  async addVersion(id: string, asking: Asking): Promise<void> {
    this.list.apply(await this.#engine.request('datasets.addVersion', { id }, asking));
  }

  /** Until they have been read to the end there are as many rows as in the version. */
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
    rowSettings: Partial<RowSettings> = {},
  ): Promise<DataReport> {
    this.#checking.set(datasetId, (this.#checking.get(datasetId) ?? 0) + 1);
    try {
      const of = { model: { id: modelId }, data: { versionId: version.id }, split };
      return await this.#engine.request('data.report', { ...of, maxLength, rowSettings });
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
