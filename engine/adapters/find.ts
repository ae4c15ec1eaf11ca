/** Finds the files of an adapter, and explains what a place without an adapter holds instead. */
import { closeSync, openSync, readdirSync, readSync, statSync, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathIn } from '../formats/files.ts';
import { currentSnapshot } from '../models/hub-folder.ts';
import { Problem } from '../problem.ts';

export const configName = 'adapter_config.json';
/** Gives the names of the files with an adapter's numbers in PEFT and mlx-lm. */
export const weightsName = 'adapter_model.safetensors';
export const mlxWeightsName = 'adapters.safetensors';

export interface AdapterFile {
  /** Names the program whose format it has: PEFT, mlx-lm, or llama.cpp for `gguf`. */
  readonly form: 'peft' | 'mlx' | 'gguf';
  /** Gives the path of the file that holds its numbers. */
  readonly weights: string;
}

/** Returns the folder of the adapter that a file is part of, going by its name, or null for any other file. */
export function adapterFolderOf(path: string): string | null {
  return [configName, weightsName, mlxWeightsName].includes(basename(path)) ? dirname(path) : null;
}

/** Finds the format of the adapter at a path, and the file that holds its numbers. A place without one is a `Problem`. */
export function adapterFile(path: string): AdapterFile {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new Problem('file-missing', `There is no adapter at '${path}'.`, 'Check the path.');
  if (!found.isDirectory()) return adapterInFile(path, found);
  const names = readdirSync(path);
  if (names.includes(weightsName)) {
    if (names.includes(configName)) return { form: 'peft', weights: pathIn(path, weightsName) };
    throw new Problem(
      'file-missing',
      `'${path}' has ${weightsName} but no ${configName}, which says how its numbers are meant.`,
      'Get the file too: PEFT writes both side by side.',
    );
  }
  if (names.includes(mlxWeightsName)) return { form: 'mlx', weights: pathIn(path, mlxWeightsName) };
  throw noAdapterIn(path, names);
}

function adapterInFile(path: string, found: Stats): AdapterFile {
  const [name, folder] = [basename(path), dirname(path)];
  if (found.isFile() && (/\.gguf$/i.test(name) || startsAsGguf(path))) return { form: 'gguf', weights: path };
  if ([configName, weightsName, mlxWeightsName].includes(name))
    throw new Problem(
      'format-unsupported',
      `'${path}' is one file of an adapter, which is a folder with its config and its weights.`,
      `Give the folder '${folder}'.`,
    );
  if (isPickle(name)) throw pickled(path);
  throw new Problem(
    'format-unknown',
    `'${path}' is no adapter.`,
    `Give a folder with ${configName} and ${weightsName} in it, or the GGUF file of an adapter.`,
  );
}

function startsAsGguf(path: string): boolean {
  const descriptor = openSync(path, 'r');
  try {
    const start = Buffer.alloc(4);
    return readSync(descriptor, start, 0, 4, 0) === 4 && start.toString('latin1') === 'GGUF';
  } finally {
    closeSync(descriptor);
  }
}

const isPickle = (name: string): boolean => /\.(bin|pt|pth|ckpt|pkl)$/i.test(name);

function pickled(path: string): Problem {
  return new Problem(
    'format-unsupported',
    `'${path}' keeps the adapter in a pickle, which could run code and is never opened.`,
    `In Python, PeftModel.from_pretrained(base, folder).save_pretrained(folder) writes it as ${weightsName}.`,
  );
}

/** Says whether a folder was meant for an adapter, complete or not, or holds a folder with one. */
export function isForAdapter(folder: string): boolean {
  const names = readdirSync(folder);
  if (names.some((name) => name === configName || name === mlxWeightsName || name.startsWith('adapter_model'))) return true;
  return !names.includes('config.json') && adaptersIn(folder, names).length > 0;
}

/** Returns the error for a folder without the weights of an adapter; it tells what the folder is, by the surest sign first. */
function noAdapterIn(path: string, names: readonly string[]): Problem {
  const snapshot = currentSnapshot(path);
  if (snapshot !== null)
    return new Problem('file-missing', `'${path}' is the folder of a hub's cache.`, `Give '${snapshot.path}'.`);
  const pickle = names.find((name) => /^adapter_model\./.test(name) && isPickle(name));
  if (pickle !== undefined) return pickled(join(path, pickle));
  if (names.some((name) => /^adapter_model.*\.safetensors(\.index\.json)?$/.test(name)))
    return new Problem(
      'format-unsupported',
      `'${path}' has the adapter in several files (${names.filter((name) => /^adapter_model.*\.safetensors/.test(name)).join(', ')}), which are not put together here.`,
      `In Python, PeftModel.from_pretrained(base, folder).save_pretrained(folder) writes it as one ${weightsName}.`,
    );
  const inside = adaptersIn(path, names);
  const [newest] = inside;
  if (newest !== undefined)
    return new Problem(
      'file-missing',
      `'${path}' is no adapter itself: ${inside.length === 1 ? 'there is one' : 'there are some'} in ${inside.map((name) => `'${name}'`).join(', ')}.`,
      `Give '${join(path, newest)}'.`,
    );
  const gguf = names.find((name) => /\.gguf$/i.test(name));
  if (gguf !== undefined)
    return new Problem(
      'file-missing',
      `'${path}' has no adapter of PEFT or mlx-lm in it, but a GGUF file.`,
      `Give '${join(path, gguf)}' if that is the adapter.`,
    );
  if (names.includes('config.json') && names.some((name) => /^(pytorch_)?model.*\.(safetensors|bin|index\.json)$/.test(name)))
    return new Problem(
      'format-unsupported',
      `'${path}' is a whole model, not an adapter: its weights are all in it.`,
      'Give it as the model, without an adapter.',
    );
  const other = names.filter((name) => /\.safetensors$/.test(name));
  if (names.includes(configName) || other.length > 0)
    return new Problem(
      'file-missing',
      other.length > 0
        ? `'${path}' has no ${weightsName}; there is ${other.slice(0, 3).join(', ')}, which no adapter of PEFT is called.`
        : `'${path}' has ${configName} but not the weights, ${weightsName}.`,
      other.length > 0
        ? 'Give the folder that PEFT saved the adapter into.'
        : 'Get the file too; a copy that left out large files lacks it.',
    );
  return new Problem(
    'file-missing',
    names.length === 0 ? `'${path}' is empty.` : `'${path}' has no adapter in it: there is no ${configName}.`,
    `Give a folder with ${configName} and ${weightsName} in it.`,
  );
}

/** Lists the folders in a folder that hold an adapter, checkpoints with the newest first. */
function adaptersIn(path: string, names: readonly string[]): string[] {
  const step = (name: string): number => Number(/(\d+)$/.exec(name)?.[1] ?? Infinity);
  return names
    .filter((name) => {
      const folder = join(path, name);
      if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return false;
      return readdirSync(folder).some((file) => file === configName || /^adapter(_model|s)\.(safetensors|bin)$/.test(file));
    })
    .sort((a, b) => step(b) - step(a) || a.localeCompare(b));
}
