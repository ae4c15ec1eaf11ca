/** Reads adapters of every program, and writes them as PEFT does: `adapter_config.json` and `adapter_model.safetensors`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tokenizer } from '../data/tokenizer.ts';
import { fileIn, hashFile, writeFileAtomic } from '../formats/files.ts';
import { allFinite } from '../formats/float.ts';
import { publishFolder } from '../formats/folder.ts';
import { SafetensorsWriter } from '../formats/safetensors.ts';
import { assert, Problem } from '../problem.ts';
import { tensorView, type Adapter, type AdapterShape } from './adapter.ts';
import { formatAdapterConfig, type AdapterConfig } from './config.ts';
import { adapterFile, configName, weightsName } from './find.ts';
import { readGgufAdapter, readMlxAdapter } from './foreign.ts';
import { readPeftAdapter, type BaseModel } from './peft.ts';

/**
 * Returns the SHA-256 of the file that holds an adapter's numbers. It identifies an adapter by its content: a version, the
 * lineage of an export, and the start of a run use it. A copy of that file has the same hash wherever it lies.
 */
export function adapterHash(path: string): Promise<string> {
  return hashFile(adapterFile(path).weights);
}

/** Reads the bytes of the config beside the numbers; null where both are in one file. */
export function adapterConfigBytes(path: string): Buffer | null {
  const file = adapterFile(path).form === 'gguf' ? null : fileIn(path, configName);
  return file === null ? null : readFileSync(file);
}

/** Reads an adapter of PEFT, mlx-lm or llama.cpp and checks every tensor against its base model. A misfit is a `Problem`. */
export function readAdapter(path: string, base: BaseModel): Adapter {
  const { form } = adapterFile(path);
  const adapter =
    form === 'peft' ? readPeftAdapter(path, base) : { gguf: readGgufAdapter, mlx: readMlxAdapter }[form](path, base.spec);
  if (!allFinite(adapter.parameters))
    throw new Problem(
      'loss-not-finite',
      `The adapter '${path}' has values that are no finite numbers.`,
      'It is damaged, or comes from a run that diverged: use an earlier checkpoint.',
    );
  return adapter;
}

interface Written {
  /** The value of `base_model_name_or_path`; the one in the config when left out. */
  readonly baseName?: string | null;
  /** The tokenizer to write beside the adapter, where it differs from the base's. */
  readonly tokenizer?: Pick<Tokenizer, 'toHubFiles'> | null;
}

/** Writes the folder of an adapter whole or not at all; an adapter already there is replaced. */
export function writeAdapter(dir: string, adapter: Adapter, written: Written = {}): void {
  publishFolder(dir, (folder) => writeAdapterFiles(folder, adapter, written));
}

/** Writes the files of an adapter into a folder that the caller publishes. */
export function writeAdapterFiles(
  folder: string,
  { config, shape, parameters, initial }: Adapter,
  { baseName = config.base, tokenizer = null }: Written = {},
): void {
  assert(initial === null, 'what is written stands on the base itself');
  assert(parameters.length === shape.length, 'an adapter has as many parameters as its shape says');
  writeFileAtomic(
    join(folder, configName),
    formatAdapterConfig({ ...config, targetModules: writtenTargets(config, shape), base: baseName }),
  );
  for (const [name, text] of Object.entries(tokenizer?.toHubFiles() ?? {})) writeFileAtomic(join(folder, name), text as string);
  const plan = shape.tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const writer = new SafetensorsWriter(join(folder, weightsName), plan);
  try {
    for (const tensor of shape.tensors) writer.write(tensorView(parameters, tensor));
    writer.finish();
  } finally {
    writer.abort();
  }
}

/**
 * Returns the targets to write. PEFT turns 'all-linear' into whole paths, to which `layers_to_transform` does not apply, so the
 * names are written out when layers are chosen.
 */
function writtenTargets({ targetModules, layers }: AdapterConfig, { modules }: AdapterShape): string | readonly string[] {
  if (targetModules !== 'all-linear' || layers === 'all') return targetModules;
  return [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))];
}
