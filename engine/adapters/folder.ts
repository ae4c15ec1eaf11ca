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
 * SHA-256 of the file that has an adapter's numbers. It is the one name of an adapter by its content: of a version, in the lineage of an
 * export, and of what a run started from. A copy of that file, wherever it lies, is known by it.
 */
export function adapterHash(path: string): Promise<string> {
  return hashFile(adapterFile(path).weights);
}

/** The bytes of the config beside the numbers; null where both are in one file. */
export function adapterConfigBytes(path: string): Buffer | null {
  const file = adapterFile(path).form === 'gguf' ? null : fileIn(path, configName);
  return file === null ? null : readFileSync(file);
}

/** Reads an adapter of PEFT, mlx-lm or llama.cpp and checks every tensor against the base model it shall work on. */
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
  /** `base_model_name_or_path`; left out: as the config has it. */
  readonly baseName?: string | null;
  /** Written beside the adapter where it is not its base's. */
  readonly tokenizer?: Pick<Tokenizer, 'toHubFiles'> | null;
}

/** Writes `dir` whole or not at all; an adapter already there is replaced. */
export function writeAdapter(dir: string, adapter: Adapter, written: Written = {}): void {
  publishFolder(dir, (folder) => writeAdapterFiles(folder, adapter, written));
}

/** The files of an adapter into a folder that is itself being published. */
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

/** PEFT turns 'all-linear' into whole paths, to which `layers_to_transform` then does not apply: with layers the names are written out. */
function writtenTargets({ targetModules, layers }: AdapterConfig, { modules }: AdapterShape): string | readonly string[] {
  if (targetModules !== 'all-linear' || layers === 'all') return targetModules;
  return [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))];
}
