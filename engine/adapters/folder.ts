/** Reads adapters of every program, and writes them as PEFT does: `adapter_config.json` and `adapter_model.safetensors`. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterDescription, AdapterHashes } from '../contract.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { fileIn, type FileHash, writeFileAtomic } from '../formats/files.ts';
import { allFinite } from '../formats/float.ts';
import { publishFolder } from '../formats/folder.ts';
import { SafetensorsWriter } from '../formats/safetensors.ts';
import { assert, Problem } from '../problem.ts';
import { tensorView, type Adapter, type AdapterShape } from './adapter.ts';
import { fullConfig, type AdapterConfig } from './config.ts';
import { formatAdapterConfig } from './config-file.ts';
import { adapterFile, configName, weightsName } from './find.ts';
import { findGgufAdapter, findMlxAdapter } from './foreign.ts';
import { findPeftAdapter, type BaseModel } from './peft.ts';
import type { AdapterOutline, StoredAdapter } from './stored.ts';

/** Reads the bytes of the config beside the numbers, or null where both are in one file. */
export function adapterConfigBytes(path: string): Buffer | null {
  const file = adapterFile(path).form === 'gguf' ? null : fileIn(path, configName);
  return file === null ? null : readFileSync(file);
}

/** Returns the SHA-256 of the config beside the numbers, or null where both are in one file. */
export function adapterConfigHash(path: string): string | null {
  const bytes = adapterConfigBytes(path);
  return bytes && createHash('sha256').update(bytes).digest('hex');
}

/**
 * Finds an adapter of PEFT, mlx-lm or llama.cpp and checks every tensor that its file names against its base model. A misfit is
 * a `Problem`. Its numbers are not read yet.
 */
export function findAdapter(path: string, base: BaseModel): StoredAdapter {
  const { form } = adapterFile(path);
  return form === 'peft' ? findPeftAdapter(path, base) : { gguf: findGgufAdapter, mlx: findMlxAdapter }[form](path, base.spec);
}

/** Reads an adapter that was found at `path`, all of whose numbers must be finite. `hash` takes the file as it is read. */
export function readFound(path: string, { config, shape, readParameters }: StoredAdapter, hash: FileHash | null): Adapter {
  const parameters = readParameters(hash);
  if (!allFinite(parameters))
    throw new Problem(
      'loss-not-finite',
      `The adapter '${path}' has values that are no finite numbers.`,
      'It is damaged, or comes from a run that diverged: use an earlier checkpoint.',
    );
  return { config, shape, parameters, initial: null };
}

/** Reads an adapter of PEFT, mlx-lm or llama.cpp and checks it against its base model. A misfit is a `Problem`. */
export function readAdapter(path: string, base: BaseModel): Adapter {
  return readFound(path, findAdapter(path, base), null);
}

/**
 * Gives the size of the file with the numbers of an adapter, and the hashes of its files. The hash of the numbers identifies an
 * adapter by its content: a version, the lineage of an export, and the start of a run use it. A copy of the file has the same
 * hash in every place.
 */
export interface AdapterFileFacts extends AdapterHashes {
  readonly bytes: number;
}

/** Describes an adapter whose file is known, for its version. */
export function describeAdapter({ config, shape }: AdapterOutline, file: AdapterFileFacts): AdapterDescription {
  const names = shape.modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1));
  // Full training has neither; the values are those with which the file will be read.
  const { rank, alpha } = config.method === 'full' ? fullConfig(null) : config;
  return { rank, alpha, targetModules: [...new Set(names)], parameters: shape.length, ...file };
}

interface Written {
  /** Gives the value of `base_model_name_or_path`; the one in the config when left out. */
  readonly baseName?: string | null;
  /** Holds the tokenizer to write beside the adapter, where it differs from the base's. */
  readonly tokenizer?: Pick<Tokenizer, 'toHubFiles'> | null;
}

/** Writes the folder of an adapter whole or not at all; an adapter already there is replaced. Returns the facts of its file. */
export function writeAdapter(dir: string, adapter: Adapter, written: Written = {}): AdapterFileFacts {
  let facts: AdapterFileFacts | undefined;
  publishFolder(dir, (folder) => void (facts = writeAdapterFiles(folder, adapter, written)));
  return facts!;
}

/** Writes the files of an adapter into a folder that the caller publishes. Returns the facts of the file with its numbers. */
export function writeAdapterFiles(
  folder: string,
  { config, shape, parameters, initial }: Adapter,
  { baseName = config.base, tokenizer = null }: Written = {},
): AdapterFileFacts {
  assert(initial === null, 'what is written stands on the base itself');
  assert(parameters.length === shape.length, 'an adapter has as many parameters as its shape says');
  writeFileAtomic(
    join(folder, configName),
    formatAdapterConfig({ ...config, targetModules: writtenTargets(config, shape), base: baseName }),
  );
  for (const [name, text] of Object.entries(tokenizer?.toHubFiles() ?? {})) writeFileAtomic(join(folder, name), text as string);
  const plan = shape.tensors.map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const path = join(folder, weightsName);
  const hash = createHash('sha256');
  const writer = new SafetensorsWriter(path, plan, undefined, hash);
  try {
    for (const tensor of shape.tensors) writer.write(tensorView(parameters, tensor));
    writer.finish();
  } finally {
    writer.abort();
  }
  return { bytes: statSync(path).size, hash: hash.digest('hex'), configHash: adapterConfigHash(folder) };
}

/**
 * Returns the targets to write. PEFT turns 'all-linear' into whole paths, to which `layers_to_transform` does not apply, so the
 * names are written out when layers are chosen.
 */
function writtenTargets({ targetModules, layers }: AdapterConfig, { modules }: AdapterShape): string | readonly string[] {
  if (targetModules !== 'all-linear' || layers === 'all') return targetModules;
  return [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))];
}
