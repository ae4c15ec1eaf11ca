/** Reads and writes `lowrank.json`, in which a folder says where it came from and which files it was written with. */
import { join } from 'node:path';
import type { ExportedFile, ExportFormat, Lineage, MixSettings, Proof, Quantization } from '../contract.ts';
import { fileIn, readText, writeFileAtomic } from '../formats/files.ts';
import { Problem } from '../problem.ts';

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

/** Parses JSON. Returns null where the text is none or cannot be read. */
export function parsed(text: () => string): unknown {
  try {
    return JSON.parse(text());
  } catch (error) {
    if (error instanceof Problem || error instanceof SyntaxError) return null;
    throw error;
  }
}

export function isLineage(value: unknown): value is Lineage {
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
