/**
 * Installs CUDA's own copy of the runtime in the data folder, because the one that comes with the studio lacks CUDA's
 * libraries.
 */
import { cpSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import type { JobSpec } from '../contract.ts';
import { writeFileAtomic } from '../formats/files.ts';
import { publishFolder } from '../formats/folder.ts';
import { Problem } from '../problem.ts';
import { versions } from '../versions.ts';
import { askForObject, download, requireTrusted, type Download } from './download.ts';
import { readZipEntry } from '../formats/zip.ts';

/** Returns the folder of that copy, whether it exists or not. Its packages are where Node looks for them. */
export function cudaRuntime(dataDir: string): string {
  return join(dataDir, 'runtimes', `cuda-${versions.onnxruntime}`);
}

/** Returns the environment variables that a job needs to compute on CUDA; none for a job that does not use it. */
export function jobEnvironment(spec: JobSpec, dataDir: string): Readonly<Record<string, string>> {
  const uses =
    (spec.kind === 'trial' && spec.provider === 'cuda') ||
    (spec.kind === 'train' && (spec.devices ?? []).some(({ provider, usable }) => provider === 'cuda' && usable));
  const folder = cudaRuntime(dataDir);
  if (!uses || !existsSync(folder)) return {};
  // Products of float32 keep all their digits; the provider's own switch cannot be reached from here.
  return { LOWRANK_RUNTIME: folder, NVIDIA_TF32_OVERRIDE: '0' };
}

// ── Fetching it ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const feed = 'https://api.nuget.org/v3';
const packageName = 'microsoft.ml.onnxruntime.gpu.linux';
const providers = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
const binaries = 'bin/napi-v6/linux/x64';

/** Gives a sentence that says what the system must bring besides the copy. */
export const alsoNeeded =
  'It also needs an NVIDIA driver for CUDA 13 and, where the system looks for libraries, ' +
  'those of CUDA 13: libcudart, libcublas, libcublasLt and libcurand.';

interface InstallOptions {
  readonly from?: string;
  /** Receives a sentence before anything large is fetched: where it comes from, and how far that can be trusted. */
  readonly onSource?: (sentence: string) => void;
  readonly onBytes?: (done: number, total: number) => void;
}

/**
 * Puts a copy of the runtime with CUDA's libraries into the data folder. They come from the package of the same version at the
 * feed that the runtime's own installer uses, and must have the size and hash that the feed has published. Throws
 * `device-unavailable` where the runtime has no CUDA.
 */
export async function installCuda(dataDir: string, { from = feed, onSource, onBytes }: InstallOptions = {}): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Problem(
      'device-unavailable',
      'The runtime has CUDA for Linux on x64 processors only.',
      'WebGPU needs no installation.',
    );
  const folder = cudaRuntime(dataDir);
  if (existsSync(folder)) return;
  const file = await published(from);
  onSource?.(
    `Fetching ${packageName} ${versions.onnxruntime}, ${Math.ceil(file.bytes / 1e6)} MB, from ${new URL(file.url).host}. ` +
      'The expected size and SHA-512 come from there too, so they reveal damage but not who made the file: ' +
      'trust in its origin rests on the feed and on HTTPS.',
  );
  const archive = join(dirname(folder), `${packageName}.${versions.onnxruntime}.nupkg`);
  if (!existsSync(archive)) await download(file, archive, (done) => onBytes?.(done, file.bytes));
  try {
    unpack(archive, folder);
  } catch (error) {
    if (error instanceof Problem && error.code === 'file-damaged') rmSync(archive);
    throw error;
  }
  rmSync(archive);
}

function unpack(archive: string, folder: string): void {
  publishFolder(folder, (partial) => {
    writeFileAtomic(join(partial, 'package.json'), '{}\n');
    const own = createRequire(import.meta.url);
    const node = packageFolder(own.resolve('onnxruntime-node'));
    const common = packageFolder(createRequire(join(node, 'package.json')).resolve('onnxruntime-common'));
    const copy = join(partial, 'node_modules');
    for (const part of ['package.json', 'dist', binaries])
      cpSync(join(node, part), join(copy, 'onnxruntime-node', part), { recursive: true });
    cpSync(common, join(copy, 'onnxruntime-common'), { recursive: true });
    for (const name of providers)
      writeFileAtomic(
        join(copy, 'onnxruntime-node', binaries, name),
        readZipEntry(archive, `runtimes/linux-x64/native/${name}`),
      );
  });
}

/** Removes the copy and returns whether there was one. */
export function removeCuda(dataDir: string): boolean {
  const folder = cudaRuntime(dataDir);
  const wasThere = existsSync(folder);
  rmSync(folder, { recursive: true, force: true });
  return wasThere;
}

/** Returns the package as the feed describes it (NuGet's registration and catalog). */
async function published(from: string): Promise<Download> {
  const version = versions.onnxruntime;
  const { catalogEntry } = await askForObject(`${from}/registration5-gz-semver2/${packageName}/${version}.json`);
  requireTrusted(String(catalogEntry), from);
  const { packageHash, packageHashAlgorithm, packageSize } = await askForObject(String(catalogEntry));
  const isSound = typeof packageHash === 'string' && Number.isSafeInteger(packageSize) && (packageSize as number) > 0;
  if (packageHashAlgorithm !== 'SHA512' || !isSound)
    throw new Problem('file-damaged', `The feed does not say what ${packageName} ${version} is.`, 'Try again later.');
  const url = `${from}-flatcontainer/${packageName}/${version}/${packageName}.${version}.nupkg`;
  return { url, bytes: packageSize as number, sha512: packageHash };
}

/** Returns the folder of the package that a file belongs to. */
function packageFolder(file: string): string {
  const folder = dirname(file);
  return existsSync(join(folder, 'package.json')) && basename(dirname(folder)) === 'node_modules'
    ? folder
    : packageFolder(folder);
}
