/** Finds a GPU in software: the Vulkan that Electron brings for machines without one. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Returns what a process needs in its environment to have that GPU and no other, or why there is none here. */
export function softwareGpu(): { readonly environment: Readonly<Record<string, string>> } | { readonly missing: string } {
  if (process.platform !== 'linux') return { missing: 'only on Linux is WebGPU run by Vulkan' };
  if (process.arch !== 'x64') return { missing: 'onnxruntime-node has no WebGPU for Linux on this processor' };
  const folder = electronFolder();
  const driver = join(folder, 'vk_swiftshader_icd.json');
  if (!existsSync(driver)) throw new Error(`Electron has no software Vulkan in '${folder}'`);
  // Beside it lies libvulkan.so.1, which is looked for by name.
  return { environment: { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folder } };
}

/** Returns the path that the setup has written down. */
function electronFolder(): string {
  const stamp = join(import.meta.dirname, '../../node_modules/.lowrank-setup.json');
  const { electron } = JSON.parse(readFileSync(stamp, 'utf8')) as { readonly electron: { readonly dist: string } | null };
  if (electron === null) throw new Error('no Electron is set up: run node scripts/setup.mjs');
  return electron.dist;
}
