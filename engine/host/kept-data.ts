/** Keeps copies of rows in the data folder: files that a person copied in, and texts that were pasted. */
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync, lstatSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { EngineRequests, Params } from '../contract.ts';
import { dataFiles } from '../data-files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';
import type { HostContext } from './context.ts';
import { requireAbsolute } from './require.ts';

/** Names the folder within the data folder that holds them, with a folder for each project. */
const folderName = 'data';

type Kept = Params<EngineRequests, 'datasets.keep'>;

/** Copies files, or writes a text, into the folder of a project, and returns their new paths in the same order. */
export async function keepData({ dataDir, store }: Pick<HostContext, 'dataDir' | 'store'>, kept: Kept): Promise<string[]> {
  if (store.projects.get(kept.projectId) === null)
    throw new Problem('not-found', `There is no project '${kept.projectId}'.`, 'It may have been removed.');
  const folder = join(dataDir, folderName, kept.projectId);
  if ('text' in kept) {
    if (kept.text.trim() === '') throw new Problem('data-empty', 'There is nothing in the text.', 'Paste some rows.');
    const day = new Date().toISOString().slice(0, 10);
    const name = `pasted ${day}.${dataFiles[kept.format].endings[0]}`;
    return [await put(folder, name, (at) => writeFile(at, kept.text, { flag: 'wx', mode: 0o600 }))];
  }
  const paths: string[] = [];
  for (const path of kept.paths) {
    requireAbsolute(path);
    if (!existsSync(path)) throw new Problem('file-missing', `'${path}' is not there.`, 'Choose it again.');
    // Links may lead anywhere; the reader of folders leaves them out as well.
    const isTaken = (from: string): boolean => from === path || !lstatSync(from).isSymbolicLink();
    const copy = (at: string) => cp(path, at, { recursive: true, dereference: true, filter: isTaken, errorOnExist: true });
    paths.push(await put(folder, basename(path), copy));
  }
  return paths;
}

/** Returns whether a path is one of those copies. */
export function isKeptData(dataDir: string, path: string): boolean {
  return resolve(path) === path && path.startsWith(join(dataDir, folderName) + sep);
}

/** Writes under a name of its own first, so that nothing half-written ever has a name that is used. */
async function put(folder: string, name: string, write: (at: string) => Promise<void>): Promise<string> {
  const beside = join(folder, `.${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await write(beside);
    const path = freePath(folder, name);
    await rename(beside, path);
    return path;
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw toWriteProblem(join(folder, name), error);
  }
}

/** Returns a path that nothing has: the name, or the name with a number before its ending. */
function freePath(folder: string, name: string): string {
  const [, stem = name, ending = ''] = /^(.+?)((?:\.[^.]+){0,2})$/.exec(name) ?? [];
  for (let number = 1; ; number++) {
    const path = join(folder, number === 1 ? name : `${stem} ${number}${ending}`);
    if (!existsSync(path)) return path;
  }
}
