/** CUDA's own copy of the runtime, in the data folder: the one that comes with the studio has no libraries for it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JobSpec } from '../contract.ts';
import { versions } from '../versions.ts';

/** Where that copy is, or would be: packages as node looks for them. */
export function cudaRuntime(dataDir: string): string {
  return join(dataDir, 'runtimes', `cuda-${versions.onnxruntime}`);
}

/** What a job needs in its environment to compute on CUDA; empty for all others. */
export function jobEnvironment(spec: JobSpec, dataDir: string): Readonly<Record<string, string>> {
  const uses =
    (spec.kind === 'trial' && spec.provider === 'cuda') ||
    (spec.kind === 'train' && (spec.devices ?? []).some(({ provider, usable }) => provider === 'cuda' && usable));
  const folder = cudaRuntime(dataDir);
  if (!uses || !existsSync(folder)) return {};
  // Products of float32 with all their digits; the provider's own switch cannot be reached from here.
  return { LOWRANK_RUNTIME: folder, NVIDIA_TF32_OVERRIDE: '0' };
}
