/**
 * Runs the sample of the first start, in which the embedded model learns to answer with one JSON object. Every count is
 * measured: the evaluation rows are answered before and after, and `json-fields` says which answers are right.
 */
import { readFileSync } from 'node:fs';
import type { ChatMessage, EvaluateResult, JobSpec, Model, OneAdapter, SampleProjectState, ScoredAnswer } from '../contract.ts';
import { jsonFields } from '../evaluate/json-fields.ts';
import { jsonObject } from '../evaluate/json-text.ts';
import { verdictOf } from '../evaluate/judge.ts';
import { logError, Problem, toProblemValue } from '../problem.ts';
import type { RecipeInput } from '../recipe.ts';
import { embeddedModelPath, sampleFiles } from '../resources.ts';
import { found, type HostContext } from './context.ts';
import type { Datasets } from './datasets.ts';
import { oneAdapter } from './job-inputs.ts';
import type { Library } from './library.ts';
import type { RunQueue } from './runs/queue.ts';

export const sampleProjectName = 'Sample: orders as JSON';
/** Limits the tokens of an answer. An answer with the four fields takes about 30. */
const longestAnswer = 48;
const byFields = jsonFields.open({});

/** Collects the parts of the host that the sample works with. */
export interface SampleParts {
  readonly library: Library;
  readonly datasets: Datasets;
  readonly runs: RunQueue;
}

export class SampleProject {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #datasets: Datasets;
  readonly #runs: RunQueue;
  #state: SampleProjectState | null;
  #current: AbortController | null = null;

  constructor(context: HostContext, { library, datasets, runs }: SampleParts) {
    this.#context = context;
    this.#library = library;
    this.#datasets = datasets;
    this.#runs = runs;
    this.#state = withVerdicts(context.store.sampleProject.get());
    if (this.#state !== null && !['done', 'failed', 'stopped'].includes(this.#state.phase))
      this.#change({ phase: 'stopped', progress: null });
  }

  get busy(): boolean {
    return this.#current !== null;
  }

  get state(): SampleProjectState | null {
    return this.#state;
  }

  start(): SampleProjectState {
    if (this.#current !== null) return this.#state!;
    // A sample that is trained and only not completely evaluated needs no second training.
    const { runId = null, phase = null } = this.#state ?? {};
    const { runs, adapters } = this.#context.store;
    if (runId !== null && phase !== 'done' && runs.get(runId)?.state === 'done' && adapters.ofRun(runId) !== null) {
      this.follow(runId);
      return this.#state!;
    }
    const files = sampleFiles();
    const { rows, question, expected } = readQuestions(files.eval);
    const recipe = JSON.parse(readFileSync(files.recipe, 'utf8')) as RecipeInput;
    const project = this.#library.createProject(sampleProjectName);
    const state: SampleProjectState = {
      phase: 'preparing',
      projectId: project.id,
      runId: null,
      adapterId: null,
      question,
      requiredFields: Object.keys(jsonObject(expected) ?? {}),
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
        name: 'Orders as JSON',
        data: { paths: [files.train], evalPaths: [files.eval] },
      });
      stop.throwIfAborted();

      this.#change({ phase: 'before' });
      const before = await this.#countRight(model, { adapterPath: null }, stop, ({ text, verdicts: [verdict = null] }) =>
        this.#change({ answerBefore: text, verdictBefore: verdict }),
      );
      this.#change({ phase: 'training', correctBefore: before, progress: null });

      const request = {
        projectId,
        name: 'Orders as JSON',
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
    const after = await this.#countRight(model, oneAdapter(adapter), stop, ({ text, verdicts: [verdict = null] }) =>
      this.#change({ answerAfter: text, verdictAfter: verdict }),
    );
    this.#change({ phase: 'done', correctAfter: after, progress: null });
  }

  /** Answers every question with the model, and counts the answers that have the right fields. */
  async #countRight(
    { path, acceptFields }: Model,
    adapter: OneAdapter,
    stop: AbortSignal,
    onFirst: (answer: ScoredAnswer) => void,
  ): Promise<number> {
    const { supervisor, cacheDir } = this.#context;
    const phase = adapter.adapterPath === null ? 'Asking the base model' : 'Asking the trained model';
    const spec: JobSpec = {
      ...{ kind: 'evaluate', model: { path, acceptFields }, ...adapter, cacheDir },
      data: { paths: [sampleFiles().eval] },
      evaluators: [jsonFields.name],
      maxTokens: longestAnswer,
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
    return rows.filter(({ measures }) => measures['json-fields'] === 1).length;
  }

  #change(change: Partial<SampleProjectState>): void {
    this.#state = { ...this.#state!, ...change };
    const state = this.#state;
    this.#context.unsaved.save('The state of the sample', () => this.#context.store.sampleProject.put(state));
    this.#context.emit('sample.changed', state);
  }
}

/** Reads the rows to evaluate on: their number, and the question and expected answer of the first. */
function readQuestions(path: string): { rows: number; question: string; expected: string } {
  const lines = readFileSync(path, 'utf8').split('\n');
  const rows = lines.filter((line) => line.trim() !== '');
  const { messages } = JSON.parse(rows[0]!) as { messages: readonly ChatMessage[] };
  return { rows: rows.length, question: messages.at(-2)!.content, expected: messages.at(-1)!.content };
}

/** Adds verdicts to a sample that an earlier studio stored without them. */
function withVerdicts(state: SampleProjectState | null): SampleProjectState | null {
  if (state === null || state.verdictBefore !== undefined) return state;
  const row = readQuestions(sampleFiles().eval);
  const verdict = (answer: string | null) => (answer === null ? null : verdictOf(byFields, row, answer));
  return { ...state, verdictBefore: verdict(state.answerBefore), verdictAfter: verdict(state.answerAfter) };
}
