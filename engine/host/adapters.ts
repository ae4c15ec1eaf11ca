/** Adapter versions: registered when a run has written one, or imported from a PEFT folder. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { AdapterVersion, Model, Run } from '../contract.ts';
import { readText } from '../formats/files.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import { parseAdapterConfig } from '../training/lora/config.ts';
import { found, type HostContext } from './context.ts';
import { requireAbsolute } from './library.ts';

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
      ...(await describe(path)),
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
    checkFits(path, model);
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
      ...(await describe(path)),
    };
    store.adapters.put(version);
    emit('adapter.changed', version);
    emit('list.changed', { projectId, list: 'adapters' });
    return version;
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

function weightsOf(path: string): string {
  return join(path, 'adapter_model.safetensors');
}

async function describe(path: string): Promise<Described> {
  const configPath = join(path, 'adapter_config.json');
  const config = parseAdapterConfig(readText(configPath, 1 << 20), configPath);
  const file = readSafetensors(weightsOf(path));
  const tensors = [...file.tensors.values()];
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file.path)) hash.update(chunk as Buffer);
  return {
    rank: config.rank,
    alpha: config.alpha,
    targetModules:
      typeof config.targetModules === 'string'
        ? [...new Set(tensors.map((tensor) => moduleOf(tensor.name)))]
        : config.targetModules,
    parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    bytes: file.size,
    hash: hash.digest('hex'),
  };
}

/** `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` is of `q_proj`. */
function moduleOf(tensorName: string): string {
  return /([^.]+)\.lora_[AB]\.weight$/.exec(tensorName)?.[1] ?? tensorName;
}

/** A is [r, in] and B is [out, r] of a linear layer of this model, in a block it has. */
function checkFits(path: string, model: Model): void {
  for (const { name, shape } of readSafetensors(weightsOf(path)).tensors.values()) {
    const linear = model.linears.find((candidate) => candidate.name === moduleOf(name));
    const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? 0);
    const size = name.includes('.lora_A.') ? shape[1] : shape[0];
    const expected = name.includes('.lora_A.') ? linear?.inFeatures : linear?.outFeatures;
    if (linear === undefined || layer >= model.layers || size !== expected)
      throw new Problem(
        'adapter-mismatch',
        `The tensor '${name}' [${shape.join(', ')}] of ${path} has no place in ${model.name}.`,
        'Choose the base model it was trained on.',
      );
  }
}
