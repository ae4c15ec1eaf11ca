import type { ProblemValue, SampleInfo, SampleName, SampleProjectState } from '../../engine/contract.ts';
import { type Engine, problemOf } from './engine.ts';

/** Lists the samples, starts and stops one, and follows how far it is. */
export class SampleProject {
  list = $state.raw<readonly SampleInfo[]>([]);
  status = $state.raw<SampleProjectState | null>(null);
  problem = $state.raw<ProblemValue | null>(null);
  starting = $state(false);
  readonly running: boolean = $derived(
    this.starting || (this.status !== null && !['done', 'failed', 'stopped'].includes(this.status.phase)),
  );
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.on('sample.changed', (status) => {
      this.status = status;
    });
  }

  async load(): Promise<void> {
    await this.#take(async () => {
      const [list, status] = await Promise.all([this.#engine.request('sample.list'), this.#engine.request('sample.get')]);
      this.list = list;
      // An event that arrived meanwhile is newer.
      this.status ??= status;
    });
  }

  async start(sample: SampleName): Promise<void> {
    this.starting = true;
    await this.#take(async () => {
      this.status = await this.#engine.request('sample.start', { sample });
    });
    this.starting = false;
  }

  async stop(): Promise<void> {
    await this.#take(() => this.#engine.request('sample.stop'));
  }

  async #take(action: () => Promise<unknown>): Promise<void> {
    try {
      this.problem = null;
      await action();
    } catch (error) {
      this.problem = problemOf(error);
    }
  }
}
