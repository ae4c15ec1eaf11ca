/**
 * LoRA adapters as PEFT stores them: which matrices they adapt, their first values, and their folder
 * (`adapter_config.json`, `adapter_model.safetensors`). The output of an adapted layer is W x + (alpha / r) B A x.
 */
import { join } from 'node:path';
import { readText, writeFileAtomic } from '../formats/files.ts';
import { publishFolder } from '../formats/folder.ts';
import { readSafetensors, readSafetensorsFloat32, SafetensorsWriter } from '../formats/safetensors.ts';
import { linearLayers, type DecoderSpec, type LinearLayer } from '../models/spec.ts';
import { assert, Problem } from '../problem.ts';
import { nearest, type Recipe } from '../recipe.ts';
import { fillUniform } from './random.ts';

/** The fields of PEFT's adapter_config.json this engine honours; every other one must be at its default. */
export interface AdapterConfig {
  /** `r` */
  readonly rank: number;
  /** `lora_alpha` */
  readonly alpha: number;
  /** `target_modules`: last parts of module paths, or every linear layer of the blocks. */
  readonly targetModules: 'all-linear' | readonly string[];
  /** `layers_to_transform` */
  readonly layers: 'all' | readonly number[];
  /** `base_model_name_or_path` */
  readonly base: string | null;
}

/** One trained matrix and its place among all parameters. */
export interface AdapterTensor {
  /** PEFT's key: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly name: string;
  /** Module it belongs to: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly part: 'A' | 'B';
  /** A is [r, in], B is [out, r]. */
  readonly shape: readonly [number, number];
  /** In floats from the start of the one array of all parameters. */
  readonly offset: number;
  /** alpha / r */
  readonly scale: number;
}

export interface AdapterShape {
  readonly tensors: readonly AdapterTensor[];
  /** Floats in all. */
  readonly length: number;
}

/** All trained parameters lie in one array, in the order of `shape.tensors`; gradients and moments have the same layout. */
export interface Adapter {
  readonly config: AdapterConfig;
  readonly shape: AdapterShape;
  readonly parameters: Float32Array;
}

/** The shape of an adapter that trains nothing: the base model alone. */
export const noAdapterShape: AdapterShape = { tensors: [], length: 0 };

// ── Which matrices ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** PEFT's rule for a list of targets: the whole path, or its last parts. */
function matches(path: string, target: string): boolean {
  return path === target || path.endsWith(`.${target}`);
}

/** The linear layers a config adapts, in the order of the model; refuses targets and layers the model does not have. */
export function adaptedLayers(config: Pick<AdapterConfig, 'targetModules' | 'layers'>, spec: DecoderSpec): LinearLayer[] {
  const all = linearLayers(spec);
  const { targetModules, layers } = config;
  if (targetModules !== 'all-linear') {
    const unknown = targetModules.find((target) => !all.some((linear) => matches(linear.path, target)));
    if (unknown !== undefined) {
      const names = [...new Set(all.map((linear) => linear.name))];
      throw new Problem(
        'recipe-invalid',
        `'${unknown}' is no linear layer of the blocks of this model; the nearest is '${nearest(unknown, names)}'.`,
        `Choose among ${names.join(', ')}, or 'all-linear'.`,
      );
    }
  }
  const beyond =
    layers === 'all' ? undefined : layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= spec.layers);
  if (beyond !== undefined)
    throw new Problem(
      'recipe-invalid',
      `Layer ${beyond} is not there: this model has ${spec.layers} layers, counted from 0.`,
      `Choose layers from 0 to ${spec.layers - 1}.`,
    );
  return all.filter(
    (linear) =>
      (layers === 'all' || layers.includes(linear.layer)) &&
      (targetModules === 'all-linear' || targetModules.some((target) => matches(linear.path, target))),
  );
}

export function adapterShape(config: AdapterConfig, spec: DecoderSpec): AdapterShape {
  const tensors: AdapterTensor[] = [];
  let length = 0;
  const add = (path: string, part: 'A' | 'B', shape: [number, number]) => {
    const name = `base_model.model.${path}.lora_${part}.weight`;
    tensors.push({ name, path, part, shape, offset: length, scale: config.alpha / config.rank });
    length += shape[0] * shape[1];
  };
  for (const { path, inFeatures, outFeatures } of adaptedLayers(config, spec)) {
    add(path, 'A', [config.rank, inFeatures]);
    add(path, 'B', [outFeatures, config.rank]);
  }
  return { tensors, length };
}

/** The part of `parameters` that is `tensor`, as a view. */
export function tensorView(parameters: Float32Array, { offset, shape }: AdapterTensor): Float32Array {
  return parameters.subarray(offset, offset + shape[0] * shape[1]);
}

// ── First values ────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * An adapter that does nothing yet: B is 0, A is drawn as PEFT draws it, Kaiming-uniform with a = sqrt(5), which is uniform within
 * 1 / sqrt(in). Every value depends only on the seed, the tensor's name and its index.
 */
export function newAdapter(
  recipe: Pick<Recipe, 'rank' | 'alpha' | 'targetModules' | 'layers' | 'seed'>,
  spec: DecoderSpec,
  base: string | null,
): Adapter {
  const { rank, alpha, targetModules, layers, seed } = recipe;
  const config: AdapterConfig = { rank, alpha, targetModules, layers, base };
  const shape = adapterShape(config, spec);
  const parameters = new Float32Array(shape.length);
  for (const tensor of shape.tensors)
    if (tensor.part === 'A') fillUniform(tensorView(parameters, tensor), 1 / Math.sqrt(tensor.shape[1]), seed, tensor.name);
  return { config, shape, parameters };
}

// ── adapter_config.json ─────────────────────────────────────────────────────────────────────────────────────────────────

const configName = 'adapter_config.json';
const weightsName = 'adapter_model.safetensors';
const maxConfigBytes = 1 << 20;

/** Fields that change what an adapter computes and that this engine does not compute. A value that is empty or off is no use of them. */
const unsupportedFields = [
  'use_dora',
  'use_rslora',
  'use_qalora',
  'use_bdlora',
  'lora_bias',
  'fan_in_fan_out',
  'modules_to_save',
  'rank_pattern',
  'alpha_pattern',
  'exclude_modules',
  'target_parameters',
  'trainable_token_indices',
  'layer_replication',
  'alora_invocation_tokens',
  'megatron_config',
] as const;
/** Initializations that also change the base weights, so the adapter means nothing without the changed base. */
const unsupportedInitialization = /^(pissa|olora|corda|loftq|lora_ga)/;

function isUsed(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value === 'object' ? Object.keys(value).length > 0 : true;
}

/** Reads the text of an adapter_config.json; `path` is for messages. */
export function parseAdapterConfig(text: string, path: string): AdapterConfig {
  const invalid = (what: string) =>
    new Problem(
      'config-invalid',
      `${path}: ${what}.`,
      'The file must be the adapter_config.json of a LoRA adapter, as PEFT writes it.',
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new Problem('config-invalid', `${path} is not JSON.`, 'The file is damaged; copy the adapter again.', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('it holds no JSON object');
  const fields = parsed as Readonly<Record<string, unknown>>;

  const refuse = (field: string, value: unknown) =>
    new Problem(
      'model-unsupported',
      `${path}: '${field}' is ${JSON.stringify(value)}, which is not supported yet.`,
      'Plain LoRA adapters without this setting can be used.',
    );
  if (fields['peft_type'] !== undefined && fields['peft_type'] !== 'LORA') throw refuse('peft_type', fields['peft_type']);
  for (const field of unsupportedFields) if (isUsed(fields[field])) throw refuse(field, fields[field]);
  if (fields['bias'] !== undefined && fields['bias'] !== 'none') throw refuse('bias', fields['bias']);
  const initialization = fields['init_lora_weights'];
  if (typeof initialization === 'string' && unsupportedInitialization.test(initialization))
    throw refuse('init_lora_weights', initialization);
  const pattern = fields['layers_pattern'];
  if (isUsed(pattern) && pattern !== 'layers' && JSON.stringify(pattern) !== '["layers"]')
    throw refuse('layers_pattern', pattern);

  const {
    r: rank,
    lora_alpha: alpha,
    target_modules: targets,
    layers_to_transform: layers,
    base_model_name_or_path: base,
  } = fields;
  if (!Number.isInteger(rank) || (rank as number) < 1 || (rank as number) > 65536)
    throw invalid(`'r' is no rank: ${JSON.stringify(rank)}`);
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    throw invalid(`'lora_alpha' is no number: ${JSON.stringify(alpha)}`);
  if (typeof targets === 'string' && targets !== 'all-linear') throw refuse('target_modules', targets);
  if (targets !== 'all-linear' && !isListOf(targets, (target) => typeof target === 'string' && target !== ''))
    throw invalid(`'target_modules' must be a list of names`);
  const layerList = layers === undefined || layers === null ? 'all' : typeof layers === 'number' ? [layers] : layers;
  if (layerList !== 'all' && !isListOf(layerList, (layer) => Number.isInteger(layer)))
    throw invalid(`'layers_to_transform' must be a list of layer numbers`);
  return {
    rank: rank as number,
    alpha,
    targetModules: targets as 'all-linear' | string[],
    layers: layerList as 'all' | number[],
    base: typeof base === 'string' ? base : null,
  };
}

function isListOf(value: unknown, fits: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.length > 0 && value.every(fits);
}

/** adapter_config.json with every field PEFT needs to load the adapter without being told anything else. */
export function formatAdapterConfig(config: AdapterConfig): string {
  const fields = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: config.base,
    revision: null,
    inference_mode: true,
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: 0,
    target_modules: config.targetModules,
    layers_to_transform: config.layers === 'all' ? null : config.layers,
    layers_pattern: null,
    rank_pattern: {},
    alpha_pattern: {},
    bias: 'none',
    fan_in_fan_out: false,
    modules_to_save: null,
    init_lora_weights: true,
    use_rslora: false,
    use_dora: false,
  };
  return JSON.stringify(fields, null, 2) + '\n';
}

// ── The folder ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads a PEFT adapter and checks every tensor against the base model it shall work on. */
export function readAdapter(dir: string, spec: DecoderSpec): Adapter {
  const configPath = join(dir, configName);
  const config = parseAdapterConfig(readText(configPath, maxConfigBytes), configPath);
  const shape = shapeFor(config, spec, configPath);
  const weightsPath = join(dir, weightsName);
  const stored = readSafetensors(weightsPath).tensors;
  const parameters = new Float32Array(shape.length);
  for (const tensor of shape.tensors) {
    const found = stored.get(tensor.name);
    if (found === undefined) throw mismatch(`${weightsPath} has no tensor '${tensor.name}', which its config asks for`);
    if (found.shape.length !== 2 || found.shape[0] !== tensor.shape[0] || found.shape[1] !== tensor.shape[1])
      throw mismatch(
        `${weightsPath}: '${tensor.name}' is [${found.shape.join(', ')}], but for this model it must be [${tensor.shape.join(', ')}]`,
      );
    tensorView(parameters, tensor).set(readSafetensorsFloat32(weightsPath, found));
  }
  const expected = new Set(shape.tensors.map((tensor) => tensor.name));
  const surplus = [...stored.values()].find((tensor) => !expected.has(tensor.name));
  if (surplus !== undefined)
    throw mismatch(
      `${weightsPath} has a tensor '${surplus.name}' of shape [${surplus.shape.join(', ')}], which has no place in this model`,
    );
  return { config, shape, parameters };
}

function shapeFor(config: AdapterConfig, spec: DecoderSpec, configPath: string): AdapterShape {
  try {
    return adapterShape(config, spec);
  } catch (cause) {
    // What is wrong with a recipe here is wrong with the pair of adapter and model.
    if (cause instanceof Problem) throw mismatch(`${configPath}: ${cause.message.replace(/\.$/, '')}`);
    throw cause;
  }
}

function mismatch(what: string): Problem {
  return new Problem('adapter-mismatch', `${what}.`, 'Use the adapter with the base model it was trained on.');
}

/** Writes `dir` whole or not at all; an adapter already there is replaced. */
export function writeAdapter(dir: string, adapter: Adapter, baseName: string | null = adapter.config.base): void {
  publishFolder(dir, (folder) => writeAdapterFiles(folder, adapter, baseName));
}

/** The files of an adapter into a folder that is itself being published. */
export function writeAdapterFiles(folder: string, adapter: Adapter, baseName: string | null): void {
  assert(adapter.parameters.length === adapter.shape.length, 'an adapter has as many parameters as its shape says');
  writeFileAtomic(join(folder, configName), formatAdapterConfig({ ...adapter.config, base: baseName }));
  const plan = adapter.shape.tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const writer = new SafetensorsWriter(join(folder, weightsName), plan);
  try {
    for (const tensor of adapter.shape.tensors) writer.write(tensorView(adapter.parameters, tensor));
    writer.finish();
  } finally {
    writer.abort();
  }
}
