/** Registers adapter versions, which a run made or a person imported. */
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { adapterFolderOf } from '../adapters/find.ts';
import type {
  AdapterDescription,
  AdapterUpdates,
  AdapterVersion,
  MergedMatrix,
  ModelAt,
  OneAdapter,
  Run,
} from '../contract.ts';
import { adapterIn, type AdapterEvent } from '../jobs/run-folder.ts';
import { longestName, shown } from '../problem.ts';
import { type Asker, found, type HostContext } from './context.ts';
import { baseOf, modelAt, oneAdapter } from './job-inputs.ts';
import { requireAbsolute, requireName } from './require.ts';

export class AdapterRegistry {
  readonly #context: HostContext;
  constructor(context: HostContext) {
    this.#context = context;
  }

  /** Stores the adapter that a run has published; a run has one version. */
  putPublished(run: Run, { step, evalLoss, adapter }: AdapterEvent): AdapterVersion {
    const { store } = this.#context;
    const number = store.adapters.list(run.projectId).length + 1;
    store.adapters.put({
      name: `${run.name} v${number}`,
      tag: null,
      createdAt: Date.now(),
      id: randomUUID(),
      ...store.adapters.ofRun(run.id),
      projectId: run.projectId,
      path: adapterIn(run.out),
      runId: run.id,
      runName: run.name,
      modelId: run.modelId,
      modelName: run.modelName,
      modelPath: run.modelPath,
      datasetName: run.datasetName,
      ...{ step, evalLoss, ...adapter },
      // Events of an earlier studio have none.
      configHash: adapter.configHash ?? null,
    });
    return store.adapters.ofRun(run.id)!;
  }

  /** Tells every client of a version that was stored. */
  tell(version: AdapterVersion): void {
    const { emit } = this.#context;
    emit('adapter.changed', version);
    emit('list.changed', { projectId: version.projectId, list: 'adapters' });
  }

  async import(projectId: string, chosen: string, modelId: string, { signal }: Asker): Promise<AdapterVersion> {
    requireAbsolute(chosen);
    // A person may have chosen any of its files.
    const path = adapterFolderOf(chosen) ?? chosen;
    const { store, supervisor } = this.#context;
    found(store.projects.get(projectId), 'project', projectId);
    const model = found(store.models.get(modelId), 'model', modelId);
    const version: AdapterVersion = {
      id: randomUUID(),
      projectId,
      name: shown(basename(path) === 'adapter' ? basename(join(path, '..')) : basename(path), longestName),
      path,
      runId: null,
      runName: null,
      step: null,
      modelId,
      modelName: model.name,
      modelPath: model.path,
      datasetName: null,
      evalLoss: null,
      tag: null,
      createdAt: Date.now(),
      // All of it is read, which with full training is a whole model.
      ...(await supervisor.run<AdapterDescription>(
        { kind: 'describe', model: modelAt(store, model), adapterPath: path },
        { signal },
      )),
    };
    store.adapters.put(version);
    this.tell(version);
    return version;
  }

  updates(id: string, { signal }: Asker): Promise<AdapterUpdates> {
    return this.#context.supervisor.run<AdapterUpdates>({ kind: 'updates', ...this.#withBase(id) }, { signal });
  }

  matrix(id: string, path: string, { signal }: Asker): Promise<MergedMatrix> {
    return this.#context.supervisor.run<MergedMatrix>({ kind: 'matrix', path, ...this.#withBase(id) }, { signal });
  }

  /** Names a version and its base as a job gets them. */
  #withBase(id: string): Required<OneAdapter<string>> & { readonly model: ModelAt } {
    const { store } = this.#context;
    const version = found(store.adapters.get(id), 'adapter', id);
    return { model: baseOf(store, version), ...oneAdapter(version) };
  }

  update(id: string, { name, tag }: { name?: string; tag?: AdapterVersion['tag'] }): AdapterVersion {
    const { store, emit } = this.#context;
    found(store.adapters.get(id), 'adapter', id);
    store.adapters.update(id, {
      ...(name === undefined ? {} : { name: requireName(name, 'adapter version') }),
      ...(tag === undefined ? {} : { tag }),
    });
    const version = found(store.adapters.get(id), 'adapter', id);
    emit('adapter.changed', version);
    return version;
  }
}
