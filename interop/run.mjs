/** Installs what this workspace needs, if it is not there, and runs its tests. Needs the product's own packages and Node 24. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('skipped: llama.cpp is only tried on Linux, x64');
  process.exit(0);
}

const wanted = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).dependencies;
const installed = Object.entries(wanted).every(([name, version]) => {
  const manifest = join(here, 'node_modules', name, 'package.json');
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version;
});
if (!installed) {
  console.log('installing llama.cpp for Node (85 MB)');
  // Without optional packages, or npm would add the CUDA and Vulkan builds, 700 MB. Not `npm ci`, which wants the packages of every
  // platform to be in the lockfile.
  const { status } = spawnSync('npm', ['install', '--no-save', '--omit=optional', '--ignore-scripts'], {
    cwd: here,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}

await import('./llama-cpp.mjs');
