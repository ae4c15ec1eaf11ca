import type { ServeRequest, ServeState, StartedEndpoint } from '../../engine/contract.ts';
import type { Engine } from './engine.ts';

/** Holds what is served to other programs. The token is no part of it: whoever starts the endpoint gets it once. */
export class ServingState {
  state = $state.raw<ServeState | null>(null);
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.on('serve.changed', (state) => (this.state = state));
  }

  async load(): Promise<void> {
    this.state = await this.#engine.request('serve.state');
  }

  start(request: ServeRequest, signal: AbortSignal): Promise<StartedEndpoint> {
    return this.#engine.request('serve.start', request, { signal });
  }

  async stop(): Promise<void> {
    await this.#engine.request('serve.stop');
  }
}
