/** Adapter versions: made by a run, or imported. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { AdapterDescription, AdapterVersion, ModelAt, Run, UpdateNorms } from '../contract.ts';
import { longestName, shown } from '../problem.ts';
import { type Asker, found, type HostContext } from './context.ts';
import { baseOf, modelAt, requireAbsolute, requireName } from './library.ts';

export class AdapterRegistry {
  readonly #context: HostContext;
  constructor(context: HostContext) {
    this.#context = context;
  }

  /** The version a run has written, or null when it ended before its first one. It is stored with the run's end. */
  async versionOf(run: Run): Promise<AdapterVersion | null> {
    const path = join(run.out, 'adapter');
    if (!existsSync(join(path, 'adapter_config.json'))) return null;
    const { store } = this.#context;
    const before = store.adapters.ofRun(run.id);
    const number = store.adapters.list(run.projectId).length + 1;
    return {
      name: `${run.name} v${number}`,
      tag: null,
      createdAt: Date.now(),
      id: randomUUID(),
      ...before,
      projectId: run.projectId,
      path,
      runId: run.id,
      runName: run.name,
      step: run.step,
      modelId: run.modelId,
      modelName: run.modelName,
      modelPath: run.modelPath,
      datasetName: run.datasetName,
      evalLoss: run.measures.loss?.last ?? null,
      ...(await this.#describe(path, baseOf(store, { ...run, runId: run.id }))),
    };
  }

  /** Everyone learns of a version that was stored. */
  tell(version: AdapterVersion): void {
    const { emit } = this.#context;
    emit('adapter.changed', version);
    emit('list.changed', { projectId: version.projectId, list: 'adapters' });
  }

  async import(projectId: string, path: string, modelId: string, { signal }: Asker): Promise<AdapterVersion> {
    requireAbsolute(path);
    const { store } = this.#context;
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
      ...(await this.#describe(path, modelAt(store, model), signal)),
    };
    store.adapters.put(version);
    this.tell(version);
    return version;
  }

  /** It is read whole, in a job: with full training that is a whole model. */
  #describe(adapterPath: string, model: ModelAt, signal?: AbortSignal): Promise<AdapterDescription> {
    return this.#context.supervisor.run<AdapterDescription>({ kind: 'describe', model, adapterPath }, signal && { signal });
  }

  norms(id: string, { signal }: Asker): Promise<UpdateNorms> {
    const { store, supervisor } = this.#context;
    const version = found(store.adapters.get(id), 'adapter', id);
    const model = baseOf(store, version);
    return supervisor.run<UpdateNorms>({ kind: 'norms', model, adapterPath: version.path }, { signal });
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
