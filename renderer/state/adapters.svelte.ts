import type {
  AdapterUpdates,
  AdapterVersion,
  MergedMatrix,
  MixedVersion,
  MixOrigin,
  MixRequest,
} from '../../engine/contract.ts';
import { Asked } from './asked.svelte.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';

/** Holds the adapter versions of the open project. */
export class AdaptersState {
  readonly list: Collection<AdapterVersion>;
  /** Holds what each mix of the project was made from, by the id of its version. */
  readonly mixes = new Asked<Readonly<Record<string, MixOrigin>>>();
  readonly #engine: Engine;
  readonly #updates = new Map<string, Promise<AdapterUpdates>>();

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

  /** Asks again what the mixes of the project were made from. */
  async loadMixes(): Promise<void> {
    const { projectId } = this.list;
    await this.mixes.ask(async () => (projectId === null ? {} : this.#engine.request('adapters.mixes', { projectId })));
  }

  /** Returns what a version was mixed from, or null where it is no mix. */
  mixOf(id: string): MixOrigin | null {
    return this.mixes.value?.[id] ?? null;
  }

  /** Mixes adapters into a new version. */
  mix(request: MixRequest, signal: AbortSignal): Promise<MixedVersion> {
    return this.#engine.request('adapters.mix', request, { signal });
  }

  /**
   * Returns what an adapter adds to each matrix. It is asked once for each content, because the whole file is read for it.
   */
  updates({ id, hash }: Pick<AdapterVersion, 'id' | 'hash'>): Promise<AdapterUpdates> {
    const known = this.#updates.get(hash);
    if (known !== undefined) return known;
    const asked = this.#engine.request('adapters.updates', { id });
    this.#updates.set(hash, asked);
    asked.catch(() => this.#updates.delete(hash));
    return asked;
  }

  /** Returns one matrix of the base before and after an adapter is merged into it. */
  matrix(id: string, path: string): Promise<MergedMatrix> {
    return this.#engine.request('adapters.matrix', { id, path });
  }

  /** Writes an adapter again with matrices of at most `rank`, as a version of its own. */
  truncate({ id, projectId }: AdapterVersion, rank: number, name: string, asking: Asking): Promise<MixedVersion> {
    return this.#engine.request('adapters.truncate', { projectId, adapter: { id }, rank, name }, asking);
  }

  async update(id: string, change: { name?: string; tag?: AdapterVersion['tag'] }): Promise<void> {
    this.list.apply(await this.#engine.request('adapters.update', { id, ...change }));
  }
}
