/**
 * Finds models on people's disks, in hub folders, caches of a hub and folders around them, and explains why a folder holds
 * none.
 */
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileIn, isFolder, readJsonObject, readText, requireInside } from '../formats/files.ts';
import { Problem } from '../problem.ts';

export interface LocatedModel {
  /** Gives the path of the folder or file, with the links above it resolved. */
  readonly path: string;
  readonly format: 'hub' | 'gguf';
  /** Says in sentences how the model was found. */
  readonly notes: readonly string[];
}

/** This limit in bytes exceeds the index of any model. */
const indexLimit = 64 << 20;
/** This limit in bytes exceeds any reference, which is the name of a revision. */
const refLimit = 4096;

/**
 * Finds the model that a person means by a path: a folder, a file in it, a GGUF, or a folder of a hub's cache; else a
 * `Problem`.
 */
export function locateModel(path: string): LocatedModel {
  let real: string;
  try {
    real = realpathSync(path);
  } catch (cause) {
    throw new Problem('file-missing', `There is no model at '${path}'.`, 'Check the path.', { cause });
  }
  if (statSync(real).isDirectory()) return locateInFolder(real, []);
  // A file in a hub's cache is a link to another folder, where its name is a hash.
  const file = join(realpathSync(dirname(resolve(path))), basename(path));
  const folder = modelFolderOf(file);
  if (folder !== null) return { path: folder, format: 'hub', notes: [] };
  if (isGguf(file)) return { path: file, format: 'gguf', notes: [] };
  throw new Problem(
    'format-unknown',
    `'${path}' is neither a model folder nor a GGUF file.`,
    'Give a folder with config.json and *.safetensors, or a .gguf file.',
  );
}

/**
 * Returns the folder of the model that `file` belongs to, or null where it is no such file or where no config.json is beside
 * it.
 */
export function modelFolderOf(file: string): string | null {
  const ofFolder = /(^config\.json|\.safetensors|\.safetensors\.index\.json)$/.test(basename(file));
  return ofFolder && existsSync(join(dirname(file), 'config.json')) ? dirname(file) : null;
}

function isGguf(path: string): boolean {
  if (path.toLowerCase().endsWith('.gguf')) return true;
  if (!statSync(path).isFile()) return false;
  const descriptor = openSync(path, 'r');
  try {
    const start = Buffer.alloc(4);
    return readSync(descriptor, start, 0, 4, 0) === 4 && start.toString('latin1') === 'GGUF';
  } finally {
    closeSync(descriptor);
  }
}

function locateInFolder(folder: string, notes: readonly string[]): LocatedModel {
  if (existsSync(join(folder, 'config.json'))) return { path: folder, format: 'hub', notes };
  const names = readdirSync(folder).sort();
  if (names.includes('adapter_config.json')) throw isAdapter(folder);
  const cached = currentSnapshot(folder);
  if (cached !== null) return locateInFolder(cached.path, [...notes, ...cached.notes]);
  const inside = foldersIn(folder).filter((name) => isModelFolder(join(folder, name)));
  const [only, ...others] = inside;
  if (only !== undefined && others.length === 0 && ggufFiles(names).length === 0) {
    requireInside(folder, join(folder, only));
    return locateInFolder(join(folder, only), [...notes, `The model lies in the folder '${only}' of '${basename(folder)}'.`]);
  }
  if (only !== undefined)
    throw new Problem(
      'format-unknown',
      `'${folder}' has several models in it.`,
      `Give one of them: ${listed([...inside, ...ggufFiles(names)].map((name) => join(folder, name)))}.`,
    );
  throw noModel(folder, names, 'has no config.json');
}

function isModelFolder(folder: string): boolean {
  if (/^models--/.test(basename(folder))) return existsSync(join(folder, 'snapshots'));
  return existsSync(join(folder, 'config.json')) && readdirSync(folder).some((name) => name.endsWith('.safetensors'));
}

/**
 * Finds the snapshot that a folder of a hub's cache stands for. The folder is `models--owner--name` or its `snapshots`, whose
 * folders are named after revisions; the snapshot is the one that `refs/main` names. Null means that the folder belongs to no
 * cache.
 */
export function currentSnapshot(folder: string): { readonly path: string; readonly notes: readonly string[] } | null {
  const isSnapshots = basename(folder) === 'snapshots' && existsSync(join(dirname(folder), 'refs'));
  const root = isSnapshots ? dirname(folder) : folder;
  if (!existsSync(join(root, 'snapshots'))) return null;
  const snapshots = foldersIn(join(root, 'snapshots'));
  const paths = snapshots.map((name) => join(root, 'snapshots', name));
  const ref = fileIn(root, join('refs', 'main'));
  const current = ref === null ? null : readText(ref, refLimit).trim();
  const [only, ...others] = paths;
  if (only === undefined)
    throw new Problem(
      'file-missing',
      `'${root}' is a folder of a hub's cache with no snapshot of a model in it.`,
      unfinished(root) ?? 'Download the model.',
    );
  const chosen = others.length === 0 ? only : current === null ? undefined : paths[snapshots.indexOf(current)];
  if (chosen !== undefined) requireInside(root, chosen);
  if (others.length === 0) return { path: only, notes: [] };
  if (chosen !== undefined)
    return {
      path: chosen,
      notes: [`Of ${paths.length} snapshots in the cache, that of 'refs/main' is open: ${current}.`],
    };
  throw new Problem(
    'format-unknown',
    `'${root}' has ${paths.length} snapshots of a model, and its 'refs/main' names none of them.`,
    `Give one of them: ${listed(paths)}.`,
  );
}

/** Lists the real paths of the safetensors files of a hub folder, single or sharded. A missing shard is a `Problem`. */
export function weightFiles(folder: string): string[] {
  const single = 'model.safetensors';
  if (existsSync(join(folder, single))) return [weightFile(folder, single)];
  const names = readdirSync(folder).sort();
  const index = fileIn(folder, 'model.safetensors.index.json');
  const shards = index !== null ? shardsOfIndex(index) : shardsOf(names);
  if (shards.length === 0) {
    const others = names.filter((name) => name.endsWith('.safetensors') && !ofOthers.test(name));
    if (others.length === 1 && existsSync(join(folder, others[0]!))) return [weightFile(folder, others[0]!)];
    throw noModel(folder, names, `has no ${single}`);
  }
  const missing = shards.filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0)
    throw new Problem(
      'file-missing',
      missing.length === 1
        ? `'${folder}' lacks the shard '${missing[0]!}'.`
        : `'${folder}' lacks ${missing.length} of its ${shards.length} shards: ${listed(missing)}.`,
      unfinished(folder) ?? 'Download the missing files of the model.',
    );
  return shards.map((name) => weightFile(folder, name));
}

function weightFile(folder: string, name: string): string {
  return realpathSync(fileIn(folder, name)!);
}

/**
 * Returns the note about files of an adapter beside a model, because other programs apply such an adapter without being asked.
 */
export function adapterNotes(folder: string): string[] {
  const beside = readdirSync(folder).filter((name) => /^(adapter_(config|model)\.|adapters\.)/.test(name));
  if (beside.length === 0) return [];
  return [
    `The model's folder also has files of an adapter (${beside.sort().join(', ')}): the adapter counts only where it is given as one.`,
  ];
}

/** Matches files of adapters, and weights under the names of Mistral's own programs. */
const ofOthers = /^(adapter_|adapters\.|consolidated)/;

function shardsOfIndex(path: string): string[] {
  const map = readJsonObject(path, indexLimit)['weight_map'];
  const names = typeof map === 'object' && map !== null ? [...new Set<unknown>(Object.values(map))].sort() : [];
  if (names.length === 0 || !names.every((name) => typeof name === 'string'))
    throw new Problem('config-invalid', `'${path}' has no 'weight_map'.`, 'Download the file again.');
  for (const name of names as string[])
    if (basename(name) !== name || /[\\/:\0]/.test(name) || !name.endsWith('.safetensors'))
      throw new Problem('config-invalid', `'${path}' names the file '${name}'.`, 'A shard lies beside the index.');
  return names as string[];
}

/** Lists the shards of a model without an index; their names say how many there are. */
function shardsOf(names: readonly string[]): string[] {
  const numbered = /^(.+)-\d{5}-of-(\d{5})\.safetensors$/;
  const found = names.flatMap((name) => (ofOthers.test(name) ? [] : (numbered.exec(name) ?? [])).slice(1).join('\n') || []);
  const sets = [...new Set(found)];
  if (sets.length !== 1) return [];
  const [prefix, count] = sets[0]!.split('\n') as [string, string];
  return Array.from({ length: Number(count) }, (_, i) => `${prefix}-${String(i + 1).padStart(5, '0')}-of-${count}.safetensors`);
}

/** Matches files that a training program leaves beside the weights. */
const noWeights = /^(training_args|optimizer|scheduler|scaler|rng_state|trainer_state)/;

/** Returns the error for a folder that cannot be opened, by what it holds instead. */
function noModel(folder: string, names: readonly string[], lacks: string): Problem {
  const broken = names.find((name) => /\.(safetensors|json)$/.test(name) && !existsSync(join(folder, name)));
  if (broken !== undefined && lstatSync(join(folder, broken)).isSymbolicLink())
    return new Problem(
      'file-missing',
      `'${join(folder, broken)}' is a link to a file that is not there.`,
      unfinished(folder) ?? 'Download the model again.',
    );
  if (names.includes('adapter_config.json')) return isAdapter(folder);
  const ggufs = ggufFiles(names);
  if (ggufs.length > 0)
    return new Problem(
      'file-missing',
      `'${folder}' ${lacks}.`,
      `To open ${ggufs.length === 1 ? 'the GGUF file' : 'one of the GGUF files'} in it, give ${listed(ggufs.map((name) => join(folder, name)))}.`,
    );
  const unsupported = (what: string, hint: string): Problem =>
    new Problem('format-unsupported', `'${folder}' ${lacks}: ${what}.`, hint);
  const useSafetensors = 'Use the safetensors version of the model.';
  if (names.some((name) => /^consolidated.*\.(safetensors|pth)$/.test(name)))
    return unsupported(
      "it has its weights in the form of its maker's own programs (consolidated), under other names",
      "Use the model's files for transformers: config.json and model*.safetensors.",
    );
  if (names.some((name) => name === 'onnx' || name.endsWith('.onnx')))
    return unsupported('it is a model in ONNX, which is finished for use and cannot be trained', useSafetensors);
  if (names.some((name) => name.endsWith('.npz')))
    return unsupported('it has its weights in MLX’s older files', useSafetensors);
  if (names.some((name) => /\.(bin|pt|pth|ckpt|pkl)$/.test(name) && !noWeights.test(name)))
    return new Problem(
      'format-unsupported',
      `'${folder}' has its weights in a pickle file, which could run code and is never opened.`,
      useSafetensors,
    );
  if (names.some((name) => /\.(h5|msgpack|ot|nemo)$/.test(name)))
    return unsupported('it has its weights in a form of another framework', useSafetensors);
  const several = names.filter((name) => name.endsWith('.safetensors'));
  if (several.length > 0 && existsSync(join(folder, 'config.json')))
    return unsupported(`which of ${listed(several)} is the model is not said`, 'Leave one of them in the folder.');
  const hint = several.length > 0 ? 'Download config.json too.' : 'A model folder has config.json and *.safetensors in it.';
  return new Problem('file-missing', `'${folder}' ${lacks}.`, unfinished(folder) ?? hint);
}

function isAdapter(folder: string): Problem {
  return new Problem(
    'format-unknown',
    `'${folder}' is an adapter, not a model.`,
    'Give its base model here and the folder as the adapter.',
  );
}

/**
 * Returns what to do about files whose download has not finished, in the folder or where a hub's client keeps them, or null
 * where there are none.
 */
function unfinished(folder: string): string | null {
  const places = ['', '.cache/huggingface/download', 'blobs', '../../blobs'].map((place) => join(folder, place));
  const found = places
    .filter(isFolder)
    .flatMap((place) => readdirSync(place).filter((name) => /\.(incomplete|part|partial|crdownload|aria2)$/.test(name)));
  return found.length === 0
    ? null
    : `A download is unfinished ('${found[0]!}'): let it go on to its end, then open the model again.`;
}

/** Lists the GGUF files that are models and not vision towers. */
function ggufFiles(names: readonly string[]): string[] {
  return names.filter((name) => /\.gguf$/i.test(name) && !/^mmproj/i.test(name));
}

function foldersIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.') && isFolder(join(folder, name)))
    .sort();
}

function listed(paths: readonly string[]): string {
  const shown = paths.slice(0, 5).map((path) => `'${path}'`);
  return [...shown, ...(paths.length > shown.length ? [`${paths.length - shown.length} more`] : [])].join(', ');
}
