/**
 * Serves a model with its adapters to other programs of this computer, one endpoint at a time. It answers with the process that
 * the playground asks too, so the base is in memory once.
 */
import { randomUUID } from 'node:crypto';
import { basename, resolve } from 'node:path';
import type { ModelAt, ServeRequest, ServeState, StartedEndpoint } from '../contract.ts';
import { logError, longestName, Problem, shown } from '../problem.ts';
import type { Endpoint } from '../serve/endpoint.ts';
import type { Asked, Served } from '../serve/routes.ts';
import type { Asker, HostContext } from './context.ts';
import { adapterAt, modelAt, weightedAdapter } from './job-inputs.ts';
import type { ModelProcesses } from './model-processes.ts';
import { requireWeight } from './require.ts';

interface Serving {
  readonly endpoint: Endpoint;
  readonly what: Pick<ServeState, 'url' | 'model' | 'base' | 'adapters'>;
  readonly end: () => void;
}

/** Asks for one token, to find out whether the model, its chat template and its adapters fit before anybody is told a URL. */
const trial: Asked = {
  prompt: { messages: [{ role: 'user', content: 'Hi' }] },
  settings: { maxTokens: 1, temperature: 0, topP: 1, topK: 0, seed: 0, ignoreStop: false },
};

export class EndpointOfHost {
  readonly #context: HostContext;
  readonly #processes: ModelProcesses;
  #serving: Serving | null = null;
  #isStarting = false;

  constructor(context: HostContext, processes: ModelProcesses) {
    this.#context = context;
    this.#processes = processes;
  }

  get state(): ServeState | null {
    return this.#serving && { ...this.#serving.what, ...this.#serving.endpoint.activity };
  }

  /** Starts the endpoint when the model has answered once. It ends when the asker's connection does. */
  async start({ model: ref, adapters: named, port }: ServeRequest, asker: Asker): Promise<StartedEndpoint> {
    if (this.#serving !== null || this.#isStarting)
      throw new Problem(
        'not-allowed',
        `${this.#serving === null ? 'A model' : `'${this.#serving.what.model}'`} is served already.`,
        'Stop it first; one endpoint is open at a time.',
      );
    this.#isStarting = true;
    try {
      return await this.#open({ model: ref, adapters: named, ...(port !== undefined && { port }) }, asker);
    } finally {
      this.#isStarting = false;
    }
  }

  async stop(): Promise<void> {
    const serving = this.#serving;
    if (serving === null) return;
    this.#serving = null;
    serving.end();
    await serving.endpoint.close();
    this.#context.emit('serve.changed', null);
  }

  async #open({ model: ref, adapters: named, port }: ServeRequest, asker: Asker): Promise<StartedEndpoint> {
    const { store } = this.#context;
    const model = modelAt(store, ref);
    named.forEach(requireWeight);
    const adapters = named.map((adapter) => ({ ...adapter, name: weightedAdapter(store, adapter).name }));
    const generate: Served['generate'] = ({ prompt, settings, schema }, signal, onText) => {
      const adapters = named.map((adapter) => adapterAt(store, adapter));
      const asked = { model, adapters, prompt, settings, ...(schema !== undefined && { schema }) };
      return this.#processes.generate(model, { ...asked, streamId: randomUUID() }, signal, ({ text }) => onText(text));
    };
    const release = this.#processes.keep(model);
    try {
      await generate(trial, asker.signal, () => {});
      const base = { name: nameOfModel(model), path: model.path };
      const name = servedName(base.name, adapters);
      const onActivity = () => {
        if (this.#serving !== null) this.#context.emit('serve.changed', this.state);
      };
      const { openEndpoint } = await import('../serve/endpoint.ts');
      const endpoint = await openEndpoint({ name, created: Math.floor(Date.now() / 1000), generate }, { port, onActivity });
      const leave = () => void this.stop().catch(logError);
      asker.client.gone.addEventListener('abort', leave, { once: true });
      const end = () => {
        release();
        asker.client.gone.removeEventListener('abort', leave);
      };
      const what = { url: `http://127.0.0.1:${endpoint.port}/v1`, model: name, base, adapters };
      this.#serving = { endpoint, what, end };
      if (asker.signal.aborted) {
        await this.stop();
        throw new Problem('stopped', 'It was stopped before it started.', 'Start it again.');
      }
      this.#context.emit('serve.changed', this.state);
      return { ...what, ...endpoint.activity, token: endpoint.token };
    } catch (error) {
      release();
      throw error;
    }
  }
}

const nameOfModel = ({ path }: Pick<ModelAt, 'path'>): string => shown(basename(resolve(path)), longestName);

/** Returns the name that programs ask for: that of the adapters, or of the base alone, without blanks. */
function servedName(base: string, adapters: ServeState['adapters']): string {
  const name =
    adapters.length === 0 ? base : adapters.map(({ name, weight }) => (weight === 1 ? name : `${name}=${weight}`)).join('+');
  return name.replace(/\s+/g, '-');
}
