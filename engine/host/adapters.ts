/** Adapter versions: registered when a run has written one, or imported. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { AdapterVersion, Run, UpdateNorms } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { openAdapter } from '../training/lora/adapted.ts';
import { adapterFile } from '../training/lora/find.ts';
import { found, type HostContext } from './context.ts';
import { baseOf, modelAt, type ModelAt, requireAbsolute } from './library.ts';

type Described = Pick<AdapterVersion, 'rank' | 'alpha' | 'targetModules' | 'parameters' | 'bytes' | 'hash'>;

export class AdapterRegistry {
  readonly #context: HostContext;
  constructor(context: HostContext) {
    this.#context = context;
  }

  /** The version a run has written, or null when it ended before its first one. */
  async registerRun(run: Run): Promise<AdapterVersion | null> {
    const path = join(run.out, 'adapter');
    if (!existsSync(join(path, 'adapter_config.json'))) return null;
    const { store, emit } = this.#context;
    const before = store.adapters.ofRun(run.id);
    const number = store.adapters.list(run.projectId).length + 1;
    const version: AdapterVersion = {
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
      evalLoss: run.lastEvalLoss,
      ...(await describe(path, baseOf(store, { ...run, runId: run.id }))),
    };
    store.adapters.put(version);
    emit('adapter.changed', version);
    emit('list.changed', { projectId: run.projectId, list: 'adapters' });
    return version;
  }

  async import(projectId: string, path: string, modelId: string): Promise<AdapterVersion> {
    requireAbsolute(path);
    const { store, emit } = this.#context;
    found(store.projects.get(projectId), 'project', projectId);
    const model = found(store.models.get(modelId), 'model', modelId);
    const version: AdapterVersion = {
      id: randomUUID(),
      projectId,
      name: basename(path) === 'adapter' ? basename(join(path, '..')) : basename(path),
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
      ...(await describe(path, modelAt(store, model))),
    };
    store.adapters.put(version);
    emit('adapter.changed', version);
    emit('list.changed', { projectId, list: 'adapters' });
    return version;
  }

  norms(id: string): Promise<UpdateNorms> {
    const { store, supervisor } = this.#context;
    const version = found(store.adapters.get(id), 'adapter', id);
    return supervisor.run<UpdateNorms>({ kind: 'norms', ...baseOf(store, version), adapterPath: version.path });
  }

  update(id: string, change: { name?: string; tag?: AdapterVersion['tag'] }): AdapterVersion {
    const { store, emit } = this.#context;
    found(store.adapters.get(id), 'adapter', id);
    store.adapters.update(id, change);
    const version = found(store.adapters.get(id), 'adapter', id);
    emit('adapter.changed', version);
    return version;
  }
}

/** Reads it whole, and so finds what has no place in the model. */
async function describe(path: string, { modelPath, acceptFields }: ModelAt): Promise<Described> {
  const { config, shape } = openAdapter(openModel(modelPath, acceptFields), path).adapter;
  const { weights } = adapterFile(path);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(weights)) hash.update(chunk as Buffer);
  return {
    rank: config.rank,
    alpha: config.alpha,
    targetModules: [...new Set(shape.modules.map((module) => module.path.slice(module.path.lastIndexOf('.') + 1)))],
    parameters: shape.length,
    bytes: statSync(weights).size,
    hash: hash.digest('hex'),
  };
}
