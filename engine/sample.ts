/**
 * The sample of the first start: the embedded model learns to answer with one JSON object. Every count is measured: the evaluation
 * rows are answered before and after, and an answer counts when it parses and has exactly the required fields.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AdapterWeight, ChatMessage, Model, Progress, SampleState } from './contract.ts';
import { fieldsOf, hasExactFields } from './evaluate/fields.ts';
import { found, type HostContext } from './host/context.ts';
import type { Library } from './host/library.ts';
import type { LongLived } from './host/long-lived.ts';
import type { RunQueue } from './host/runs/queue.ts';
import { logError, Problem, toProblemValue } from './problem.ts';
import type { RecipeInput } from './recipe.ts';
import { embeddedModelPath, sampleFiles } from './resources.ts';

export const sampleProjectName = 'Sample: orders as JSON';
/** An answer with the four fields takes about 30 tokens. */
const longestAnswer = 48;

interface Question {
  readonly messages: readonly ChatMessage[];
  readonly text: string;
  readonly expected: string;
}

export class SampleFlow {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #runs: RunQueue;
  readonly #longLived: LongLived;
  #state: SampleState | null;
  #current: AbortController | null = null;

  constructor(context: HostContext, library: Library, runs: RunQueue, longLived: LongLived) {
    this.#context = context;
    this.#library = library;
    this.#runs = runs;
    this.#longLived = longLived;
    this.#state = context.store.sampleState.get();
    if (this.#state !== null && !['done', 'failed', 'stopped'].includes(this.#state.phase))
      this.#change({ phase: 'stopped', progress: null });
  }

  get busy(): boolean {
    return this.#current !== null;
  }

  get state(): SampleState | null {
    return this.#state;
  }

  start(): SampleState {
    if (this.#current !== null) return this.#state!;
    // A sample that has trained and was only not counted to the end needs no second training.
    const { runId = null, phase = null } = this.#state ?? {};
    if (runId !== null && phase !== 'done' && this.#context.store.runs.get(runId)?.state === 'done') {
      this.follow(runId);
      return this.#state!;
    }
    const files = sampleFiles();
    const questions = readQuestions(files.eval);
    const recipe = JSON.parse(readFileSync(files.recipe, 'utf8')) as RecipeInput;
    const project = this.#library.createProject(sampleProjectName);
    const state: SampleState = {
      phase: 'preparing',
      projectId: project.id,
      runId: null,
      adapterId: null,
      question: questions[0]!.text,
      requiredFields: fieldsOf(questions[0]!.expected) ?? [],
      answerBefore: null,
      answerAfter: null,
      correctBefore: null,
      correctAfter: null,
      rows: questions.length,
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
      const dataset = await this.#library.addDataset(projectId, {
        name: 'Orders as JSON',
        trainPaths: [files.train],
        evalPaths: [files.eval],
      });
      stop.throwIfAborted();

      this.#change({ phase: 'before' });
      const before = await this.#answers(model, [], questions, stop, (answer) => this.#change({ answerBefore: answer }));
      this.#change({ phase: 'training', correctBefore: before, progress: null });

      const request = { projectId, name: 'Orders as JSON', model: { id: model.id }, data: { id: dataset.id }, recipe };
      const run = await this.#runs.start(request, stop);
      this.#change({ runId: run.id });
      await this.#finish(run.id, questions, stop);
    });
    return this.#state;
  }

  /** A run goes on. When it is the one the sample ended at, the sample goes on with it. */
  follow(runId: string): void {
    if (this.#current !== null || this.#state?.runId !== runId || this.#state.phase === 'done') return;
    const questions = readQuestions(sampleFiles().eval);
    this.#change({ phase: 'training', progress: null, problem: null });
    this.#go((stop) => this.#finish(runId, questions, stop));
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

  /** Waits for the run and counts again with what it has learned. */
  async #finish(runId: string, questions: readonly Question[], stop: AbortSignal): Promise<void> {
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
      throw new Problem(
        'not-found',
        'The adapter that the sample has trained is not stored yet.',
        'Free some space in the data folder and start the sample again: it goes on with that adapter.',
      );
    const model = found(models.get(run.modelId ?? ''), 'model', run.modelId ?? '');
    this.#change({ phase: 'after', adapterId: adapter.id });
    const weights = [{ path: adapter.path, weight: 1 }];
    const after = await this.#answers(model, weights, questions, stop, (answer) => this.#change({ answerAfter: answer }));
    this.#change({ phase: 'done', correctAfter: after, progress: null });
  }

  /** Answers every question greedily and counts those with exactly the required fields. */
  async #answers(
    model: Model,
    adapters: readonly AdapterWeight[],
    questions: readonly Question[],
    stop: AbortSignal,
    onFirst: (answer: string) => void,
  ): Promise<number> {
    let correct = 0;
    const started = performance.now();
    for (const [done, question] of questions.entries()) {
      const left = done === 0 ? null : ((performance.now() - started) / 1000 / done) * (questions.length - done);
      const progress: Progress = {
        phase: adapters.length === 0 ? 'Asking the base model' : 'Asking the trained model',
        done,
        total: questions.length,
        unit: 'questions',
        secondsLeft: left,
      };
      this.#change({ progress });
      const settings = {
        maxTokens: longestAnswer,
        temperature: 0,
        topP: 1,
        topK: 0,
        seed: 1,
        ignoreStop: false,
      };
      const { text } = await this.#longLived.generate(
        { modelPath: model.path, acceptFields: model.acceptFields },
        { model: { id: model.id }, adapters, prompt: { messages: question.messages }, settings, streamId: randomUUID() },
        stop,
      );
      stop.throwIfAborted();
      if (hasExactFields(text, fieldsOf(question.expected) ?? [])) correct++;
      if (done === 0) onFirst(text);
    }
    return correct;
  }

  #change(change: Partial<SampleState>): void {
    this.#state = { ...this.#state!, ...change };
    const state = this.#state;
    this.#context.unsaved.save('The state of the sample', () => this.#context.store.sampleState.put(state));
    this.#context.emit('sample.changed', state);
  }
}

/** The evaluation rows: everything before the last turn is asked, the last turn is what was expected. */
function readQuestions(path: string): Question[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const { messages } = JSON.parse(line) as { messages: readonly ChatMessage[] };
      const asked = messages.slice(0, -1);
      return { messages: asked, text: asked.at(-1)!.content, expected: messages.at(-1)!.content };
    });
}
