/**
 * Records in the files where an export came from: in the metadata of GGUF and safetensors, and in a folder as `lowrank.json`,
 * which also has the hash of every file. A file is thus recognized wherever it went, and so is a change to it.
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import type { ExportedFile, Fingerprint, Lineage } from '../contract.ts';
import { hashFile } from '../formats/files.ts';
import { readGguf } from '../formats/gguf.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { isLineage, manifestName, parsed, readManifest } from './manifest.ts';

export const lineageKey = 'lowrank.lineage';
/** Returns the metadata of a safetensors file that records the lineage. */
export function lineageMetadata(lineage: Lineage | null): Record<string, string> {
  return lineage === null ? {} : { [lineageKey]: JSON.stringify(lineage) };
}

/** Returns name, bytes and SHA-256 of a file, or of every file in a folder, ordered by name. */
export async function hashFiles(path: string): Promise<ExportedFile[]> {
  const isFolder = statSync(path).isDirectory();
  const names = isFolder ? filesIn(path) : [basename(path)];
  const files: ExportedFile[] = [];
  for (const name of names) {
    const file = isFolder ? join(path, name) : path;
    files.push({ name, bytes: statSync(file).size, sha256: await hashFile(file) });
  }
  return files;
}

/** Returns the names of all files in a folder and below it, relative and with slashes. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

/** Returns what a file or folder records about its origin, and the files it has now. */
export async function readFingerprint(path: string): Promise<Fingerprint> {
  const isFolder = statSync(path).isDirectory();
  const around = isFolder ? readManifest(path) : readManifest(dirname(path));
  const name = basename(path);
  // A file in another folder that happens to have the same name is not one of its files.
  const manifest = around !== null && (isFolder || around.files.some((file) => file.name === name)) ? around : null;
  const files = (await hashFiles(path)).filter((file) => file.name !== manifestName);
  const written = manifest?.files.filter((file) => isFolder || file.name === name) ?? null;
  const own = isFolder ? files.map((file) => join(path, file.name)) : [path];
  const lineage = manifest?.lineage ?? own.map(lineageOf).find((found) => found !== null) ?? null;
  return { lineage, files, written };
}

/** Returns the lineage in the metadata of a file, or null where there is none or the file cannot be read. */
function lineageOf(path: string): Lineage | null {
  const found = parsed(() => {
    if (/\.gguf$/i.test(path)) return String(readGguf(path).metadata.get(lineageKey)?.value ?? 'null');
    return /\.safetensors$/i.test(path) ? (readSafetensors(path).metadata[lineageKey] ?? 'null') : 'null';
  });
  return isLineage(found) ? found : null;
}
