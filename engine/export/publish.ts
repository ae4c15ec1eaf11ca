/**
 * Publishes the result of an export: it is written completely beside its place before it gets its name, and anything an
 * interrupted attempt left behind is removed.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { extensible, isRunning, makeFolder, syncFolder } from '../formats/files.ts';
import { partialPrefix, toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';
import { filesIn } from './lineage.ts';
import { manifestName, readManifest } from './manifest.ts';
import { alreadyThere } from './source.ts';

interface Place {
  readonly path: string;
  readonly folder: boolean;
  /** Says whether an existing result may be replaced, once the new result is complete. */
  readonly replace: boolean;
}

/** Gives the name, in the work folder, under which a replaced result waits until the new one has its place. */
const replacedName = 'replaced';

/**
 * Writes a result and publishes it at `place.path`. `write` receives a path for the result in a work folder beside it, and the
 * work folder for temporary files. The result gets its name when `write` has returned, and what it replaces stays untouched
 * until then. The work folder is removed in every case. Throws a `Problem` where something may not be replaced or `bytes`
 * exceed the free space.
 */
export async function publish(
  place: Place,
  bytes: number,
  write: (partial: string, workDir: string) => Promise<void>,
): Promise<void> {
  const { path, folder } = place;
  const parent = dirname(path);
  const name = extensible(basename(path));
  const work = join(parent, `${partialPrefix}${name}-${process.pid}`);
  try {
    // This comes before the check of the existing result, because a killed attempt may have moved it aside.
    dropWork(work, path);
    if (existsSync(parent)) removeAbandoned(path, name);
    refuseExisting(place);
    makeFolder(parent);
    checkFreeSpace(parent, bytes);
    mkdirSync(work);
    const partial = join(work, basename(path));
    if (folder) mkdirSync(partial);
    await write(partial, work);
    if (folder) syncFolder(partial);
    refuseExisting(place);
    if (folder && existsSync(path)) swapFolders(partial, path, join(work, replacedName));
    else renameSync(partial, path);
    syncFolder(parent);
  } catch (cause) {
    throw toWriteProblem(path, cause);
  } finally {
    dropWork(work, path);
  }
}

/**
 * Replaces one folder by another. A folder cannot be renamed over a full one, so the old one is moved aside first, and comes
 * back if the new one cannot take its place.
 */
function swapFolders(partial: string, path: string, aside: string): void {
  renameSync(path, aside);
  try {
    renameSync(partial, path);
  } catch (error) {
    renameSync(aside, path);
    throw error;
  }
}

/** Removes a work folder. A result that was moved aside into it gets its name back. */
function dropWork(work: string, path: string): void {
  const aside = join(work, replacedName);
  if (existsSync(aside) && !existsSync(path)) renameSync(aside, path);
  rmSync(work, { recursive: true, force: true });
}

/**
 * Returns the id of the process that a work folder's name contains, or null where the name is not that of a work folder for
 * `name`. With null for `name`, any work folder counts.
 */
function ownerOf(entry: string, name: string | null): number | null {
  const [, of, pid] = /^(.*)-(\d+)$/.exec(entry) ?? [];
  const isOurs = name === null ? of?.startsWith(partialPrefix) === true : of === partialPrefix + name;
  return isOurs ? Number(pid) : null;
}

/** Removes the work folders of earlier tries at this place whose process has ended. */
function removeAbandoned(path: string, name: string): void {
  const parent = dirname(path);
  for (const entry of readdirSync(parent)) {
    const owner = ownerOf(entry, name);
    if (owner !== null && !isRunning(owner)) dropWork(join(parent, entry), path);
  }
}

/** Gives the seconds within which a job notices that its host was killed, and ends. */
const longestWaitForOwner = 30;

/**
 * Removes the work folder that an export to `out` left behind when it was killed with its host. The folder is known by its name
 * and is removed only once its process has ended. It is beside `out`, or inside it where `out` is a folder that files are put
 * into.
 */
export async function tidyAbandoned(out: string): Promise<void> {
  await Promise.all([tidyFolder(dirname(out), out), tidyFolder(out, null)]);
}

/** Removes abandoned work folders for `path` in `folder`, or for any file where `path` is null. */
async function tidyFolder(folder: string, path: string | null): Promise<void> {
  // There may be no such folder, or `out` is a file.
  const entries = await readdir(folder).catch(() => []);
  const name = path && extensible(basename(path));
  await Promise.all(
    entries.map(async (entry) => {
      const owner = ownerOf(entry, name);
      if (owner === null) return;
      for (let waited = 0; waited < longestWaitForOwner && isRunning(owner); waited++) await setTimeout(1000);
      if (isRunning(owner)) return;
      const work = join(folder, entry);
      const aside = join(work, replacedName);
      if (path !== null && existsSync(aside) && !existsSync(path)) await rename(aside, path);
      await rm(work, { recursive: true, force: true });
    }),
  );
}

/** Refuses to replace anything without permission, and with it a folder that holds files no export has written. */
function refuseExisting({ path, folder, replace }: Place): void {
  if (!existsSync(path)) return;
  const isFolder = statSync(path).isDirectory();
  if (folder && isFolder && readdirSync(path).length === 0) return;
  if (!replace) throw alreadyThere(path);
  if (folder !== isFolder)
    throw new Problem(
      'folder-not-empty',
      `'${path}' is a ${isFolder ? 'folder' : 'file'}, and a ${folder ? 'folder' : 'file'} is to be written.`,
      'Choose another place.',
    );
  if (!folder) return;
  const manifest = readManifest(path);
  const own = new Set([manifestName, ...(manifest?.files ?? []).map((file) => file.name)]);
  const other = filesIn(path).find((name) => !own.has(name));
  if (manifest !== null && other === undefined) return;
  throw new Problem(
    'folder-not-empty',
    manifest === null
      ? `The folder '${path}' was not written by an export, so it is not replaced.`
      : `The folder '${path}' also holds '${other}', which no export has written, so it is not replaced.`,
    'Choose another place, or remove it first.',
  );
}

function checkFreeSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < bytes)
    throw new Problem(
      'disk-full',
      `This needs ${megabytes(bytes)} in '${folder}', and ${megabytes(free)} are free.`,
      'Free some space or choose another place.',
    );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
