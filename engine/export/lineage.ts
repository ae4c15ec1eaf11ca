/**
 * Records in the files where an export came from: in the metadata of GGUF and safetensors, and in a folder as `lowrank.json`,
 * which also has the hash of every file. A file is thus recognized wherever it went, and so is a change to it.
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import type { ExportedFile, ExportFormat, Fingerprint, Lineage, MixSettings, Proof, Quantization } from '../contract.ts';
import { fileIn, hashFile, readText, writeFileAtomic } from '../formats/files.ts';
import { readGguf } from '../formats/gguf.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';

export const lineageKey = 'lowrank.lineage';
export const manifestName = 'lowrank.json';
const maxManifestBytes = 1 << 24;

/** Holds the content of `lowrank.json`. */
export interface Manifest {
  readonly version: 1;
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly lineage: Lineage;
  readonly proof: Proof | null;
  /** Lists all files of the folder except `lowrank.json` itself. */
  readonly files: readonly ExportedFile[];
}

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

export function writeManifest(folder: string, manifest: Manifest): void {
  writeFileAtomic(join(folder, manifestName), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Reads `lowrank.json` of a folder. Returns null where there is none or it is damaged. */
export function readManifest(folder: string): Manifest | null {
  const manifest = parsed(() => {
    const path = fileIn(folder, manifestName);
    return path === null ? 'null' : readText(path, maxManifestBytes);
  }) as Manifest | null;
  return isManifest(manifest) ? manifest : null;
}

function isManifest(value: Partial<Manifest> | null): value is Manifest {
  if (value?.version !== 1 || !Array.isArray(value.files) || !isLineage(value.lineage)) return false;
  const { files, format, quantization, proof } = value as Manifest;
  return (
    files.every((file) => areTexts(file?.name, file?.sha256) && Number.isFinite(file.bytes) && !file.name.includes('\0')) &&
    areTexts(format, quantization ?? '') &&
    (proof === null || (typeof proof === 'object' && typeof proof.passed === 'boolean' && Array.isArray(proof.checks)))
  );
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === 'string');
}

/** Returns the lineage in the metadata of a file, or null where there is none or the file cannot be read. */
function lineageOf(path: string): Lineage | null {
  const found = parsed(() => {
    if (/\.gguf$/i.test(path)) return String(readGguf(path).metadata.get(lineageKey)?.value ?? 'null');
    return /\.safetensors$/i.test(path) ? (readSafetensors(path).metadata[lineageKey] ?? 'null') : 'null';
  });
  return isLineage(found) ? found : null;
}

function parsed(text: () => string): unknown {
  try {
    return JSON.parse(text());
  } catch (error) {
    if (error instanceof Problem || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isLineage(value: unknown): value is Lineage {
  const { exportId, base, adapters, data, mix } = (value ?? {}) as Partial<Lineage>;
  return (
    areTexts(exportId, base?.name, base?.hash, base?.licence ?? '') &&
    Array.isArray(adapters) &&
    (adapters as (Partial<Lineage['adapters'][number]> | null)[]).every(
      (adapter) =>
        areTexts(adapter?.name, adapter?.hash) && (adapter!.run == null || areTexts(adapter!.run.id, adapter!.run.name)),
    ) &&
    (data == null || areTexts(data.name, data.hash)) &&
    (mix === undefined || isMix(mix))
  );
}

function isMix(value: MixSettings | null): boolean {
  const isPlain = (each: unknown): boolean => typeof each === 'string' || typeof each === 'number';
  return areTexts(value?.method) && Object.values(value!).every(isPlain);
}
