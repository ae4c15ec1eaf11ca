/**
 * Runs a sample: trains the embedded model on its rows. Every count is measured: some of its test rows are answered before and
 * after, and the evaluators of the sample say which answers are right.
 */
import { readFileSync } from 'node:fs';
import type {
  ChatMessage,
  DataAt,
  EvaluateResult,
  Evaluation,
  EvaluationRequest,
  JobSpec,
  Model,
  OneAdapter,
  SampleName,
  SampleProjectState,
  ScoredAnswer,
  Verdict,
} from '../contract.ts';
import { hashOf } from '../data/record-hash.ts';
import { needsSchema, readContestant } from '../evaluate/contestants.ts';
import { nameOfChoice } from '../evaluate/evaluator-choice.ts';
import { logError, Problem, toProblemValue } from '../problem.ts';
import type { RecipeInput } from '../recipe.ts';
import { embeddedModelPath, readSample, sampleFiles } from '../resources.ts';
import { type Asker, found, type HostContext } from './context.ts';
import type { Datasets } from './datasets.ts';
import type { Evaluations } from './evaluations.ts';
import { oneAdapter } from './job-inputs.ts';
import type { Library } from './library.ts';
import type { RunQueue } from './runs/queue.ts';

/** Says how many of the test rows are asked, so that a first look takes a minute and not ten. */
const mostQuestions = 16;

/** Collects the parts of the host that the sample works with. */
export interface SampleParts {
  readonly library: Library;
  readonly datasets: Datasets;
  readonly runs: RunQueue;
  readonly evaluations: Evaluations;
}

export class SampleProject {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #datasets: Datasets;
  readonly #runs: RunQueue;
  readonly #evaluations: Evaluations;
  #state: SampleProjectState | null;
  #current: AbortController | null = null;

  constructor(context: HostContext, { library, datasets, runs, evaluations }: SampleParts) {
    this.#context = context;
    this.#library = library;
    this.#datasets = datasets;
    this.#runs = runs;
    this.#evaluations = evaluations;
    this.#state = ofThisStudio(context.store.sampleProject.get());
    if (this.#state !== null && !['done', 'failed', 'stopped'].includes(this.#state.phase))
      this.#change({ phase: 'stopped', progress: null });
  }

  get busy(): boolean {
    return this.#current !== null;
  }

  get state(): SampleProjectState | null {
    return this.#state;
  }

  start(name: SampleName): SampleProjectState {
    if (this.#current !== null) return this.#state!;
    // A sample that is trained and only not completely evaluated needs no second training.
    const { sample = null, runId = null, phase = null } = this.#state ?? {};
    const { runs, adapters } = this.#context.store;
    const isTrained = runId !== null && runs.get(runId)?.state === 'done' && adapters.ofRun(runId) !== null;
    if (sample?.name === name && isTrained && phase !== 'done') {
      this.follow(runId);
      return this.#state!;
    }
    const files = sampleFiles(name);
    const { info } = readSample(name);
    const { rows, question } = questionsOf(name);
    const recipe = JSON.parse(readFileSync(files.recipe, 'utf8')) as RecipeInput;
    const project = this.#library.createProject(`Sample: ${info.title}`);
    const state: SampleProjectState = {
      sample: info,
      phase: 'preparing',
      projectId: project.id,
      runId: null,
      adapterId: null,
      question,
      answerBefore: null,
      answerAfter: null,
      verdictBefore: null,
      verdictAfter: null,
      correctBefore: null,
      correctAfter: null,
      rows,
      progress: null,
      problem: null,
    };
    this.#state = state;
    this.#change({});
    this.#go(async (stop) => {
      const { projectId } = state;
      const models = await this.#library.models(projectId);
      const model =
        models.find(({ embedded }) => embedded) ??
        (await this.#library.addModel(projectId, embeddedModelPath(), { embedded: true }));
      const dataset = await this.#datasets.add(projectId, {
        name: info.title,
        data: { paths: [files.train], evalPaths: [files.validate] },
      });
      stop.throwIfAborted();

      this.#change({ phase: 'before' });
      const before = await this.#countRight(model, { adapterPath: null }, stop, ({ text, verdicts }) =>
        this.#change({ answerBefore: text, verdictBefore: shownOf(verdicts) }),
      );
      this.#change({ phase: 'training', correctBefore: before, progress: null });

      const request = {
        projectId,
        name: info.title,
        model: { id: model.id },
        data: { versionId: dataset.version.id },
        recipe,
      };
      const run = await this.#runs.start(request, stop);
      this.#change({ runId: run.id });
      await this.#finish(run.id, stop);
    });
    return this.#state;
  }

  /** Continues the sample if this run, which was resumed, is the one that it waits for. */
  follow(runId: string): void {
    if (this.#current !== null || this.#state?.runId !== runId || this.#state.phase === 'done') return;
    this.#change({ phase: 'training', progress: null, problem: null });
    this.#go((stop) => this.#finish(runId, stop));
  }

  stop(): void {
    this.#current?.abort();
  }

  /** Starts the comparison of the trained adapter with the alternatives that the sample names, unless there is one already. */
  async compare(asker: Asker): Promise<Evaluation> {
    const { sample, projectId, adapterId, runId } = this.#state ?? {};
    const run = runId == null ? null : this.#context.store.runs.get(runId);
    if (sample === undefined || projectId === undefined || adapterId == null || run?.modelId == null || run.versionId == null)
      throw new Problem('not-found', 'No sample has been trained to its end.', 'Try a sample first.');
    const files = sampleFiles(sample.name);
    const { evaluators, against, maxTokens } = readSample(sample.name).evaluation;
    const contestants = [...against.flatMap((text) => readContestant(text, [])), { adapter: { id: adapterId } }];
    const name = `${sample.title}, test rows`;
    const test =
      this.#context.store.datasets.list(projectId).find((one) => one.name === name) ??
      (await this.#datasets.add(projectId, { name, data: { paths: [files.test] } }, asker));
    const request: EvaluationRequest = {
      ...{ projectId, name: sample.title, model: { id: run.modelId }, data: { versionId: test.version.id } },
      train: { data: { versionId: run.versionId }, split: 'train' },
      ...{ contestants, evaluators, maxTokens },
      ...(contestants.some(needsSchema) ? { schemaFile: files.schema } : {}),
    };
    const same = this.#evaluations.list(projectId).find((one) => JSON.stringify(one.request) === JSON.stringify(request));
    return same === undefined ? this.#evaluations.start(request, asker) : this.#evaluations.resume(same.id, asker);
  }

  #go(work: (stop: AbortSignal) => Promise<void>): void {
    this.#current = new AbortController();
    void this.#run(this.#current.signal, work).finally(() => {
      this.#current = null;
    });
  }

  async #run(stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await work(stop);
    } catch (error) {
      const problem = toProblemValue(error);
      if (stop.aborted || problem.code === 'stopped') this.#change({ phase: 'stopped', progress: null });
      else {
        if (problem.code === 'internal') logError(error);
        this.#change({ phase: 'failed', progress: null, problem });
      }
    }
  }

  /** Waits for the run, and counts again with the trained adapter. */
  async #finish(runId: string, stop: AbortSignal): Promise<void> {
    const stopRun = () => this.#runs.stop(runId, false);
    stop.addEventListener('abort', stopRun, { once: true });
    const run = await this.#runs.ended(runId);
    stop.removeEventListener('abort', stopRun);
    stop.throwIfAborted();
    if (run.state !== 'done')
      throw run.problem !== null
        ? Problem.fromValue(run.problem)
        : new Problem('stopped', 'The run of the sample was stopped.', 'Resume the run, or start the sample again.');

    const { adapters, models } = this.#context.store;
    const adapter = adapters.ofRun(runId);
    if (adapter === null)
      throw new Problem('not-found', 'The run of the sample ended without an adapter.', 'Start the sample again.');
    const model = found(models.get(run.modelId ?? ''), 'model', run.modelId ?? '');
    this.#change({ phase: 'after', adapterId: adapter.id });
    const after = await this.#countRight(model, oneAdapter(adapter), stop, ({ text, verdicts }) =>
      this.#change({ answerAfter: text, verdictAfter: shownOf(verdicts) }),
    );
    this.#change({ phase: 'done', correctAfter: after, progress: null });
  }

  /** Asks the model the questions, and counts the answers that are right. */
  async #countRight(
    { path, acceptFields }: Model,
    adapter: OneAdapter,
    stop: AbortSignal,
    onFirst: (answer: ScoredAnswer) => void,
  ): Promise<number> {
    const { supervisor, cacheDir } = this.#context;
    const { name } = this.#state!.sample;
    const { evaluators, decisive, maxTokens } = readSample(name).evaluation;
    const phase = adapter.adapterPath === null ? 'Asking the base model' : 'Asking the trained model';
    const spec: JobSpec = {
      ...{ kind: 'evaluate', model: { path, acceptFields }, ...adapter, cacheDir, maxTokens },
      data: questionsOf(name).data,
      evaluators: evaluators.filter((one) => decisive.includes(nameOfChoice(one))),
    };
    const job = supervisor.start(spec, {
      signal: stop,
      onMessage: (message) => {
        if (message.type === 'progress' && message.progress.unit === 'rows')
          this.#change({ progress: { ...message.progress, phase, unit: 'questions' } });
        if (message.type === 'answered' && message.row === 0) onFirst(message.answer);
      },
    });
    const { rows } = (await job.finished) as EvaluateResult;
    stop.throwIfAborted();
    return rows.filter(({ answer }) => answer !== null && isRight(answer.verdicts, decisive)).length;
  }

  #change(change: Partial<SampleProjectState>): void {
    this.#state = { ...this.#state!, ...change };
    const state = this.#state;
    this.#context.unsaved.save('The state of the sample', () => this.#context.store.sampleProject.put(state));
    this.#context.emit('sample.changed', state);
  }
}

/** Returns the test rows that are asked, and the question of the first. */
function questionsOf(name: SampleName): { readonly data: DataAt; readonly rows: number; readonly question: string } {
  const path = sampleFiles(name).test;
  const records = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => ({ value: JSON.parse(line) as { messages: readonly ChatMessage[] } }));
  const unasked = records.map((record, row) => ({ row, hash: hashOf(record) })).slice(mostQuestions);
  return {
    data: { paths: [path], changes: unasked.length === 0 ? [] : [{ kind: 'exclude', files: [{ path, rows: unasked }] }] },
    rows: Math.min(records.length, mostQuestions),
    question: records[0]!.value.messages.at(-2)!.content,
  };
}

/** Returns whether every evaluator that decides finds the answer good. */
function isRight(verdicts: readonly Verdict[], decisive: readonly string[]): boolean {
  return decisive.every((name) => verdicts.some(({ evaluator, state }) => evaluator === name && state === 'good'));
}

/** Chooses the verdict that is shown beside an answer: one that says what is wrong, if there is one. */
function shownOf(verdicts: readonly Verdict[]): Verdict | null {
  return verdicts.find(({ state }) => state !== 'good') ?? verdicts[0] ?? null;
}

/** Leaves out what an earlier studio stored, whose sample asked other questions. Its project and run are kept like any others. */
function ofThisStudio(state: SampleProjectState | null): SampleProjectState | null {
  return (state as Partial<SampleProjectState> | null)?.sample === undefined ? null : state;
}
