/** Reads adapters, and writes them as PEFT does: `adapter_config.json` and `adapter_model.safetensors`, read in all the forms PEFT has written. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readText, writeFileAtomic } from '../../formats/files.ts';
import { allFinite } from '../../formats/float.ts';
import { publishFolder } from '../../formats/folder.ts';
import {
  readSafetensors,
  readSafetensorsFloat32,
  SafetensorsWriter,
  type SafetensorsTensor,
} from '../../formats/safetensors.ts';
import type { DecoderSpec } from '../../models/spec.ts';
import { assert, Problem } from '../../problem.ts';
import { adapterShape, tensorView, type Adapter, type AdapterShape } from './adapter.ts';
import { mlxWeightsName, readGgufAdapter, readMlxAdapter } from './foreign.ts';
import { formatAdapterConfig, parseAdapterConfig, type AdapterConfig } from './config.ts';

const configName = 'adapter_config.json';
const weightsName = 'adapter_model.safetensors';
const maxConfigBytes = 1 << 20;

/** The config of the adapter in a folder. */
export function readAdapterConfig(dir: string): AdapterConfig {
  const path = join(dir, configName);
  return parseAdapterConfig(readText(path, maxConfigBytes), path);
}

/** Who wrote the adapter at a path, and the file that has its numbers. */
export function adapterFile(path: string): { readonly form: 'peft' | 'mlx' | 'gguf'; readonly weights: string } {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return { form: 'gguf', weights: path };
  const peft = join(path, weightsName);
  const mlx = join(path, mlxWeightsName);
  return existsSync(mlx) && !existsSync(peft) ? { form: 'mlx', weights: mlx } : { form: 'peft', weights: peft };
}

/** Reads an adapter of PEFT, mlx-lm or llama.cpp and checks every tensor against the base model it shall work on. */
export function readAdapter(path: string, spec: DecoderSpec): Adapter {
  const { form } = adapterFile(path);
  const read = { gguf: readGgufAdapter, mlx: readMlxAdapter, peft: readPeftAdapter }[form];
  const adapter = read(path, spec);
  if (!allFinite(adapter.parameters))
    throw new Problem(
      'loss-not-finite',
      `The adapter '${path}' has values that are no finite numbers.`,
      'It is damaged, or comes from a run that diverged: use an earlier checkpoint.',
    );
  return adapter;
}

function readPeftAdapter(dir: string, spec: DecoderSpec): Adapter {
  const config = readAdapterConfig(dir);
  const shape = shapeFor(config, spec, join(dir, configName));
  const weightsPath = join(dir, weightsName);
  const stored = new Map<string, SafetensorsTensor>();
  for (const tensor of readSafetensors(weightsPath).tensors.values()) {
    const key = currentKey(tensor.name);
    if (key !== null) stored.set(key, tensor);
  }
  const parameters = new Float32Array(shape.length);
  for (const tensor of shape.tensors) {
    const key = tensor.name.replace('.base_layer.', '.');
    const found = stored.get(key);
    if (found === undefined) throw mismatch(`${weightsPath} has no tensor '${tensor.name}', which its config asks for`);
    if (found.shape.length !== tensor.shape.length || found.shape.some((extent, i) => extent !== tensor.shape[i]))
      throw mismatch(
        `${weightsPath}: '${found.name}' is [${found.shape.join(', ')}], but for this model it must be [${tensor.shape.join(', ')}]`,
      );
    tensorView(parameters, tensor).set(readSafetensorsFloat32(weightsPath, found));
    stored.delete(key);
  }
  const [surplus] = stored.values();
  if (surplus !== undefined)
    throw mismatch(
      `${weightsPath} has a tensor '${surplus.name}' of shape [${surplus.shape.join(', ')}], which has no place in this model`,
    );
  return { config, shape, parameters, initial: null };
}

/**
 * A key as PEFT writes it now, without `base_layer`: older versions kept the adapter's name in it (`lora_A.default.weight`), ended
 * magnitudes in `.weight`, or left the prefix out. Null for copies of base weights that PEFT saves beside an adapted embedding or a
 * module trained whole.
 */
function currentKey(name: string): string | null {
  const key = `base_model.model.${name.replace(/^(?:base_model\.model\.)?/, '')}`;
  if (/\.(?:base_layer\.weight|original_module\.\w+)$/.test(key)) return null;
  return key
    .replace(/\.(lora_[AB])\.[^.]+\.weight$/, '.$1.weight')
    .replace(/\.(lora_embedding_[AB]|lora_magnitude_vector)(?:\.[^.]+)*$/, '.$1')
    .replace(/\.modules_to_save\.(?:[^.]+\.)?(\w+)$/, '.$1')
    .replace(/\.base_layer\.bias$/, '.bias');
}

function shapeFor(config: AdapterConfig, spec: DecoderSpec, configPath: string): AdapterShape {
  const shape = adapterShape(config, spec);
  if (shape.modules.length > 0 || shape.replaced.length > 0) return shape;
  throw mismatch(`${configPath}: nothing in this model is called ${JSON.stringify(config.targetModules)}`);
}

function mismatch(what: string): Problem {
  return new Problem('adapter-mismatch', `${what}.`, 'Use the adapter with the base model it was trained on.');
}

/** Writes `dir` whole or not at all; an adapter already there is replaced. */
export function writeAdapter(dir: string, adapter: Adapter, baseName: string | null = adapter.config.base): void {
  publishFolder(dir, (folder) => writeAdapterFiles(folder, adapter, baseName));
}

/** The files of an adapter into a folder that is itself being published. */
export function writeAdapterFiles(
  folder: string,
  { config, shape, parameters, initial }: Adapter,
  baseName: string | null,
): void {
  assert(initial === null, 'what is written stands on the base itself');
  assert(parameters.length === shape.length, 'an adapter has as many parameters as its shape says');
  writeFileAtomic(
    join(folder, configName),
    formatAdapterConfig({ ...config, targetModules: writtenTargets(config, shape), base: baseName }),
  );
  const plan = shape.tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const writer = new SafetensorsWriter(join(folder, weightsName), plan);
  try {
    for (const tensor of shape.tensors) writer.write(tensorView(parameters, tensor));
    writer.finish();
  } finally {
    writer.abort();
  }
}

/** PEFT turns 'all-linear' into whole paths, to which `layers_to_transform` then does not apply: with layers the names are written out. */
function writtenTargets({ targetModules, layers }: AdapterConfig, { modules }: AdapterShape): string | readonly string[] {
  if (targetModules !== 'all-linear' || layers === 'all') return targetModules;
  return [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))];
}
