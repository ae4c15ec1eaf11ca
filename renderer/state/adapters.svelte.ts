import type { AdapterVersion, UpdateNorms } from '../../engine/contract.ts';
import { Collection } from './collection.svelte.ts';
import type { Engine } from './engine.ts';

/** Holds the adapter versions of the open project. */
export class AdaptersState {
  readonly list: Collection<AdapterVersion>;
  readonly #engine: Engine;
  readonly #norms = new Map<string, Promise<UpdateNorms>>();

  constructor(engine: Engine) {
    this.#engine = engine;
    this.list = new Collection((projectId) => engine.request('adapters.list', { projectId }));
    engine.on('adapter.changed', (adapter) => {
      if (adapter.projectId === this.list.projectId) this.list.apply(adapter);
    });
  }

  async import(projectId: string, path: string, modelId: string): Promise<AdapterVersion> {
    const adapter = await this.#engine.request('adapters.import', { projectId, path, modelId });
    this.list.apply(adapter);
    return adapter;
  }

  /** Returns how far each matrix is moved. It is asked once for each content, because the whole file is read for it. */
  norms(id: string, hash: string): Promise<UpdateNorms> {
    const known = this.#norms.get(hash);
    if (known !== undefined) return known;
    const asked = this.#engine.request('adapters.norms', { id });
    this.#norms.set(hash, asked);
    asked.catch(() => this.#norms.delete(hash));
    return asked;
  }

  async update(id: string, change: { name?: string; tag?: AdapterVersion['tag'] }): Promise<void> {
    this.list.apply(await this.#engine.request('adapters.update', { id, ...change }));
  }
}
