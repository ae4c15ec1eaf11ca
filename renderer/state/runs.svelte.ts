import type { AllRequests, FittedRecipe, Params, Run, RunPlan, StepMetrics, TrainRequest } from '../../engine/contract.ts';
import type { RecipeInput } from '../../engine/recipe.ts';
import { Collection } from './collection.svelte.ts';
import type { Engine } from './engine.ts';
import { RunHistory } from './run-history.svelte.ts';

/** Says whether a run trains or waits. */
export const isActive = (run: Run): boolean => run.state === 'running' || run.state === 'queued';

/** Holds the runs of the open project, and the histories of those that were opened. */
export class RunsState {
  readonly list: Collection<Run>;
  readonly active: readonly Run[];
  /** Lists the ids of the unfinished runs of all projects: first the one that trains, then those that wait. */
  queue = $state.raw<readonly string[]>([]);
  readonly #engine: Engine;
  readonly #histories = new Map<string, RunHistory>();

  constructor(engine: Engine) {
    this.#engine = engine;
    this.list = new Collection((projectId) => engine.request('runs.list', { projectId }));
    this.active = $derived(this.list.items.filter(isActive));
    engine.on('run.changed', (run) => {
      if (run.projectId === this.list.projectId) this.list.apply(run);
      const history = this.#histories.get(run.id);
      if (history !== undefined) void history.refreshCheckpoints(run);
    });
    engine.on('queue.changed', (queue) => (this.queue = queue));
    engine.on('run.removed', ({ id }) => {
      this.list.drop(id);
      this.#histories.delete(id);
    });
    engine.on('run.metrics', (batch) => this.#histories.get(batch.runId)?.addMetrics(batch.steps, batch.evaluations));
    engine.on('run.sample', ({ runId, sample }) => this.#histories.get(runId)?.addSample(sample));
    engine.on('run.log', ({ runId, line }) => this.#histories.get(runId)?.addLog(line));
  }

  /**
   * Returns what a run has measured and written. It is requested once, shared by all callers, and kept up to date by events.
   */
  history(id: string): RunHistory {
    const known = this.#histories.get(id);
    if (known !== undefined) return known;
    // It is listening before it asks, so nothing that happens in between is lost.
    const history = new RunHistory(this.#engine, id);
    this.#histories.set(id, history);
    void history.load();
    return history;
  }

  /** Loads whatever the engine did while it was away. */
  async catchUp(): Promise<void> {
    for (const history of this.#histories.values()) void history.load();
    this.queue = await this.#engine.request('runs.queue');
  }

  plan(modelId: string, versionId: string, recipe: RecipeInput): Promise<RunPlan> {
    return this.#engine.request('runs.plan', { model: { id: modelId }, data: { versionId }, recipe });
  }

  schedule(id: string): Promise<readonly Pick<StepMetrics, 'step' | 'learningRate'>[]> {
    return this.#engine.request('runs.schedule', { id });
  }

  async start(request: TrainRequest): Promise<Run> {
    const run = await this.#engine.request('runs.start', request);
    this.list.apply(run);
    return run;
  }

  fit(question: Params<AllRequests, 'runs.fit'>): Promise<FittedRecipe> {
    return this.#engine.request('runs.fit', question);
  }

  async pause(id: string): Promise<void> {
    await this.#engine.request('runs.pause', { id });
  }

  async stop(id: string, force = false): Promise<void> {
    await this.#engine.request('runs.stop', force ? { id, force } : { id });
  }

  async resume(id: string): Promise<void> {
    this.list.apply(await this.#engine.request('runs.resume', { id }));
  }

  /** Moves a waiting run to another place among those that wait, counted from 1. */
  async move(id: string, place: number): Promise<void> {
    this.queue = await this.#engine.request('runs.move', { id, place });
  }

  async update(id: string, change: { name?: string; notes?: string; tags?: readonly string[] }): Promise<void> {
    this.list.apply(await this.#engine.request('runs.update', { id, ...change }));
  }

  async remove(id: string): Promise<void> {
    await this.#engine.request('runs.remove', { id });
    this.list.drop(id);
    this.#histories.delete(id);
  }
}
