/** Writes exports and records each one with its proof, also when it fails. */
import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import type { AdapterAt, ExportRecord, ExportRequest, RowsAt } from '../contract.ts';
import { tidyAbandoned } from '../export/publish.ts';
import { needsImportance } from '../export/quant-mix.ts';
import type { ExportResult } from '../jobs/export.ts';
import type { Job } from '../jobs/supervisor.ts';
import { logError, longestName, Problem, shown, toProblemValue } from '../problem.ts';
import type { RunJob } from '../store/runs.ts';
import { type Asker, found, type HostContext, startReported } from './context.ts';
import type { Datasets } from './datasets.ts';
import { baseOf, modelAt, originOf, partName, recordedAt, rowSettingsOf, weightedAdapter } from './job-inputs.ts';
import type { Library } from './library.ts';
import { requireAbsolute } from './require.ts';

export class Exports {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #datasets: Datasets;
  readonly #jobs = new Map<string, Job>();
  #tidying = 0;

  constructor(context: HostContext, library: Library, datasets: Datasets) {
    this.#context = context;
    this.#library = library;
    this.#datasets = datasets;
    for (const record of context.store.exports.running()) {
      this.#tidy(record.path);
      this.#save({
        ...record,
        state: 'stopped',
        problem: new Problem('stopped', 'The studio closed before the export finished.', 'Export again.').toValue(),
      });
    }
  }

  /** Says whether remains of killed exports are being removed. */
  get busy(): boolean {
    return this.#tidying > 0;
  }

  async start(request: ExportRequest, asker: Asker): Promise<ExportRecord> {
    const { store, cacheDir } = this.#context;
    requireAbsolute(request.out);
    const model = 'id' in request.model ? found(store.models.get(request.model.id), 'model', request.model.id) : null;
    const parts = request.adapters.map((ref) => weightedAdapter(store, ref));
    const adapter = parts.find(({ version }) => version !== null)?.version ?? null;
    const stated = modelAt(store, request.model);
    const at =
      stated.acceptFields.length > 0 || adapter === null
        ? stated
        : { ...stated, acceptFields: baseOf(store, adapter).acceptFields };
    const run = adapter?.runId == null ? null : store.runs.job(adapter.runId);
    const rows = await this.#rowsFor(request, run, asker);
    const project =
      request.projectId !== undefined
        ? this.#library.project(request.projectId)
        : (store.projects.get(adapter?.projectId ?? model?.projectId ?? '') ?? this.#library.looseProject());
    let record: ExportRecord = {
      id: randomUUID(),
      projectId: project.id,
      adapterId: adapter?.id ?? null,
      adapterName: parts.map(partName).join(' + '),
      modelName: model?.name ?? adapter?.modelName ?? shown(basename(at.path), longestName),
      format: request.format,
      quantization: request.quantization,
      path: request.out,
      bytes: 0,
      state: 'running',
      proof: null,
      files: [],
      problem: null,
      createdAt: Date.now(),
    };
    const put = (change: Partial<ExportRecord>) => {
      record = { ...record, ...change };
      this.#save(record);
      this.#context.emit('export.changed', record);
    };
    // An export that cannot even be recorded is not started.
    store.exports.put(record);
    put({});
    const job = startReported(
      this.#context,
      {
        kind: 'export',
        model: at,
        adapters: parts.map(({ path, weight, version }): AdapterAt => {
          const trained = version?.runId == null ? null : store.runs.get(version.runId);
          return {
            ...(version === null ? { path, weight } : recordedAt(version, weight)),
            ...(trained === null ? {} : { runFolder: trained.out }),
          };
        }),
        format: request.format,
        quantization: request.quantization,
        out: request.out,
        proof: request.proof,
        replace: request.replace ?? false,
        ...rows,
        rowSettings: { ...rowSettingsOf(store, adapter), ...request.rowSettings },
        cacheDir,
        origin: originOf(record.id, parts),
      },
      record.id,
      { asker },
    );
    this.#jobs.set(record.id, job);
    let result: ExportResult;
    try {
      result = (await job.finished) as ExportResult;
    } catch (error) {
      const problem = toProblemValue(error);
      put(problem.code === 'stopped' ? { state: 'stopped' } : { state: 'failed', problem });
      // Its process may have been killed before it could clean up.
      this.#tidy(request.out);
      throw error;
    } finally {
      this.#jobs.delete(record.id);
    }
    const { refused, ...written } = result;
    put({ ...written, state: refused === null ? 'done' : 'failed', problem: refused });
    if (refused !== null) throw Problem.fromValue(refused);
    return record;
  }

  /**
   * Returns the rows for the proof or for the importance of columns: those that are named, or those of the adapter's run as it
   * was trained on them.
   */
  async #rowsFor(
    { data, importance, quantization }: ExportRequest,
    run: RunJob | null,
    asker: Asker,
  ): Promise<{ readonly rows?: RowsAt; readonly importance?: RowsAt }> {
    const proof = data === undefined ? run?.data : await this.#datasets.dataAt(data, asker);
    const measured =
      importance === undefined
        ? needsImportance(quantization)
          ? run?.data
          : undefined
        : await this.#datasets.dataAt(importance, asker);
    // Named files are the rows for the proof; of a data set or a run, the evaluation rows are.
    const split = data === undefined || 'versionId' in data ? 'eval' : 'train';
    return {
      ...(proof === undefined ? {} : { rows: { data: proof, split } }),
      ...(measured === undefined ? {} : { importance: { data: measured } }),
    };
  }

  /** Removes the remains of a killed export. Nobody waits for that: the disk may be slow, or not answer at all. */
  #tidy(out: string): void {
    this.#tidying++;
    void tidyAbandoned(out)
      .catch(logError)
      .finally(() => this.#tidying--);
  }

  #save(record: ExportRecord): void {
    this.#context.unsaved.save(`Export ${record.id}`, () => this.#context.store.exports.put(record));
  }

  /**
   * Stops an export, and kills it when it has not ended after 20 seconds. What is half written has no final name yet, so
   * nothing is left that looks whole.
   */
  stop(id: string): void {
    this.#jobs.get(id)?.stop(20);
  }
}
