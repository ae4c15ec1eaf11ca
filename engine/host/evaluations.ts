/** Runs and records evaluations. Their answers and reports are in a folder each, so that a stop or a crash loses no answer. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type {
  AnsweredQuestion,
  ContestantAt,
  Evaluation,
  EvaluationDetail,
  EvaluationPlan,
  EvaluationReport,
  EvaluationRequest,
  JobSpec,
  RowsAt,
  RowsRef,
} from '../contract.ts';
import { contestantName, requireContestants, withNamesOfTheirOwn } from '../evaluate/contestants.ts';
import { inCell } from '../evaluate/report/paired-rows.ts';
import { reportCsv, reportMarkdown } from '../evaluate/report/report-text.ts';
import { makeFolder } from '../formats/files.ts';
import { answeredIn, type CompareResult, reportIn } from '../jobs/evaluation-folder.ts';
import type { Job } from '../jobs/supervisor.ts';
import { logError, longestName, Problem, shown, toProblemValue } from '../problem.ts';
import { type Asker, found, type HostContext, startReported } from './context.ts';
import type { Datasets } from './datasets.ts';
import { modelAt, recordedAt, rowSettingsOf, weightedAdapter } from './job-inputs.ts';
import type { Library } from './library.ts';
import { requireAbsolute, requireName } from './require.ts';

type CompareSpec = Extract<JobSpec, { kind: 'compare' }>;

/** Gives the milliseconds between two states that are told while answers come. */
const millisecondsBetweenChanges = 500;
/** Limits the rows of one page. */
const mostOfPage = 200;

export class Evaluations {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #datasets: Datasets;
  readonly #jobs = new Map<string, Job>();

  constructor(context: HostContext, library: Library, datasets: Datasets) {
    this.#context = context;
    this.#library = library;
    this.#datasets = datasets;
    for (const evaluation of context.store.evaluations.running())
      this.#save({
        ...evaluation,
        state: 'stopped',
        problem: new Problem('stopped', 'The studio closed before the evaluation was done.', 'Resume it.').toValue(),
      });
  }

  list(projectId: string): readonly Evaluation[] {
    return this.#context.store.evaluations.list(projectId);
  }

  get(id: string): EvaluationDetail {
    const evaluation = this.#evaluation(id);
    if (evaluation.state !== 'done') return { evaluation, report: null };
    const { rows: _, ...report } = this.report(id);
    return { evaluation, report };
  }

  report(id: string): EvaluationReport {
    const { looks } = this.#evaluation(id);
    return { ...this.#read<EvaluationReport>(id, reportIn), looks };
  }

  text(id: string, format: 'markdown' | 'csv'): string {
    return format === 'csv' ? reportCsv(this.report(id)) : reportMarkdown(this.report(id));
  }

  /** Returns rows with their answers, those of a cell of a pair where one is named. */
  rows({
    id,
    offset,
    limit,
    cell,
    contestants,
  }: {
    readonly id: string;
    readonly offset: number;
    readonly limit: number;
    readonly cell?: Parameters<typeof inCell>[1];
    readonly contestants?: readonly string[];
  }): { rows: readonly AnsweredQuestion[]; total: number } {
    const all = this.#read<readonly AnsweredQuestion[]>(id, answeredIn);
    const wanted = cell === undefined ? all : all.filter((row) => inCell(row.answers, cell));
    const isShown = (name: string): boolean => contestants === undefined || contestants.includes(name);
    const page = wanted.slice(offset, offset + Math.min(limit, mostOfPage));
    return {
      rows: page.map((row) => ({ ...row, answers: row.answers.filter(({ contestant }) => isShown(contestant)) })),
      total: wanted.length,
    };
  }

  async plan(request: EvaluationRequest, asker: Asker): Promise<EvaluationPlan> {
    const spec = await this.#spec(request, null, asker);
    const plan = (await startReported(this.#context, spec, null, { asker }).finished) as EvaluationPlan;
    return { ...plan, looks: this.#context.store.evaluations.looksAt(plan.rowsHash) };
  }

  async start(request: EvaluationRequest, asker: Asker): Promise<Evaluation> {
    const { store } = this.#context;
    const id = randomUUID();
    const spec = await this.#spec(request, this.#folder(id), asker);
    const model = 'id' in request.model ? found(store.models.get(request.model.id), 'model', request.model.id) : null;
    const version = 'versionId' in request.data ? store.datasets.ofVersion(request.data.versionId) : null;
    const names = spec.contestants.map(({ name }) => name);
    const project =
      request.projectId === undefined
        ? (store.projects.get(model?.projectId ?? '') ?? this.#library.looseProject())
        : this.#library.project(request.projectId);
    const evaluation: Evaluation = {
      id,
      projectId: project.id,
      name: request.name === undefined ? shown(names.join(', '), longestName) : requireName(request.name, 'evaluation'),
      state: 'running',
      modelName: model?.name ?? shown(basename(spec.model.path), longestName),
      modelPath: spec.model.path,
      dataName: shown(version?.name ?? basename(spec.data.paths[0] ?? ''), longestName),
      request,
      contestants: names,
      ...{ rows: null, answered: 0, answers: null, rowsHash: null, looks: 0 },
      ...{ verdict: null, problem: null, createdAt: Date.now(), finishedAt: null },
    };
    // One that cannot even be recorded is not started.
    store.evaluations.put(evaluation);
    this.#run(evaluation, spec, request.attached === true ? asker.client.gone : null);
    return evaluation;
  }

  async resume(id: string, asker: Asker): Promise<Evaluation> {
    const evaluation = this.#evaluation(id);
    if (this.#jobs.has(id) || evaluation.state === 'done') return evaluation;
    const spec = await this.#spec(evaluation.request, this.#folder(id), asker);
    const running: Evaluation = { ...evaluation, state: 'running', problem: null, finishedAt: null };
    this.#run(running, spec, null);
    return running;
  }

  stop(id: string): void {
    this.#evaluation(id);
    this.#jobs.get(id)?.stop();
  }

  rename(id: string, name: string): Evaluation {
    const renamed = { ...this.#evaluation(id), name: requireName(name, 'evaluation') };
    if (this.#jobs.has(id)) throw new Problem('not-allowed', 'The evaluation is running.', 'Rename it when it is done.');
    this.#context.store.evaluations.put(renamed);
    this.#context.emit('evaluation.changed', renamed);
    return renamed;
  }

  remove(id: string): void {
    const { projectId } = this.#evaluation(id);
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    this.#context.store.evaluations.remove(id);
    this.#context.emit('evaluation.removed', { id, projectId });
    job?.kill();
    // Nobody waits for it: the disk may be slow.
    void Promise.resolve(job?.finished)
      .catch(() => {})
      .then(() => rm(this.#folder(id), { recursive: true, force: true }))
      .catch(logError);
  }

  // ── The job ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #run(evaluation: Evaluation, spec: CompareSpec, gone: AbortSignal | null): void {
    const { id } = evaluation;
    let now = evaluation;
    let told = -Infinity;
    const put = (change: Partial<Evaluation>): void => {
      // A removed evaluation is not stored again.
      if (this.#jobs.get(id) !== job) return;
      now = { ...now, ...change };
      this.#save(now);
    };
    makeFolder(this.#folder(id), 0o700);
    const job: Job = startReported(this.#context, spec, id, {
      onMessage: (message) => {
        if (message.type === 'asked') {
          const { rows, rowsHash, answers } = message;
          const looks = now.rowsHash === rowsHash ? now.looks : this.#context.store.evaluations.looksAt(rowsHash);
          put({ rows, rowsHash, looks, answers, answered: 0 });
        }
        if (message.type !== 'answered' || message.contestant === undefined) return;
        const { row, contestant, answer } = message;
        now = { ...now, answered: now.answered + 1 };
        this.#context.emit('evaluation.answered', { id, contestant, row, answer });
        if (performance.now() - told < millisecondsBetweenChanges) return;
        told = performance.now();
        put({});
      },
    });
    this.#jobs.set(id, job);
    put({});
    const stop = () => job.stop();
    gone?.addEventListener('abort', stop, { once: true });
    job.finished
      .then(
        (result) => {
          const { verdict } = result as CompareResult;
          put({ state: 'done', verdict, answered: now.answers ?? 0, finishedAt: Date.now() });
        },
        (error: unknown) => {
          const problem = toProblemValue(error);
          put(problem.code === 'stopped' ? { state: 'stopped' } : { state: 'failed', problem });
        },
      )
      .finally(() => {
        gone?.removeEventListener('abort', stop);
        if (this.#jobs.get(id) === job) this.#jobs.delete(id);
      })
      .catch(logError);
  }

  /** Looks up what a request names. Throws a `Problem` when something does not exist or cannot be asked. */
  async #spec(request: EvaluationRequest, out: string | null, asker: Asker): Promise<CompareSpec> {
    const { store, cacheDir } = this.#context;
    requireContestants(request);
    if (request.schemaFile !== undefined) requireAbsolute(request.schemaFile);
    const { evaluators, schema, schemaFile, seed, maxTokens, mostRows, learningRows, general } = request;
    const rowsAt = async ({ data, split }: RowsRef): Promise<RowsAt> => ({
      data: await this.#datasets.dataAt(data, asker),
      ...(split === undefined ? {} : { split }),
    });
    const adapters = request.contestants.map(({ adapter }) => (adapter === undefined ? null : weightedAdapter(store, adapter)));
    const trained = adapters.find((adapter) => adapter?.version != null)?.version ?? null;
    const contestants = request.contestants.map((contestant, i): ContestantAt => {
      const { adapter: _, ...more } = contestant;
      const found = adapters[i] ?? null;
      const name = contestantName(contestant, found?.name ?? '');
      if (found === null) return { ...more, name };
      const { path, weight, version } = found;
      const run = version?.runId == null ? null : store.runs.get(version.runId);
      const adapter = version === null ? { path, weight } : recordedAt(version, weight);
      return { ...more, name, adapter: run === null ? adapter : { ...adapter, runFolder: run.out } };
    });
    const given = { schema, schemaFile, seed, maxTokens, mostRows, learningRows, general };
    const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as typeof given;
    return {
      ...{ kind: 'compare', model: modelAt(store, request.model), ...(await rowsAt(request)) },
      ...(request.train === undefined ? {} : { train: await rowsAt(request.train) }),
      ...(request.validation === undefined ? {} : { validation: await rowsAt(request.validation) }),
      contestants: withNamesOfTheirOwn(contestants),
      evaluators,
      ...(known as Pick<EvaluationRequest, 'schema'>),
      rowSettings: { ...rowSettingsOf(store, trained), ...request.rowSettings },
      ...{ cacheDir, out },
    };
  }

  #evaluation(id: string): Evaluation {
    return found(this.#context.store.evaluations.get(id), 'evaluation', id);
  }

  #folder(id: string): string {
    return join(this.#context.dataDir, 'evaluations', id);
  }

  #read<T>(id: string, pathIn: (folder: string) => string): T {
    const { state } = this.#evaluation(id);
    const path = pathIn(this.#folder(id));
    if (state !== 'done' || !existsSync(path))
      throw new Problem('not-found', 'The evaluation has no report yet.', 'Let it finish, or resume it.');
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as T;
    } catch (cause) {
      throw new Problem('file-damaged', `'${path}' is damaged.`, 'Evaluate again.', { cause });
    }
  }

  #save(evaluation: Evaluation): void {
    const { unsaved, store, emit } = this.#context;
    unsaved.save(`Evaluation ${evaluation.id}`, () => store.evaluations.put(evaluation));
    emit('evaluation.changed', evaluation);
  }
}
