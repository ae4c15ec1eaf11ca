/**
 * Reads our exports with the programs people run them in. It installs what this workspace needs, if it is not there, and
 * checks; `--short` is the selection of every `npm test`, `--readme` puts the table of a whole run into README.md, names are
 * the families to be checked alone. Runs under Node 24, after the set-up.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const args = process.argv.slice(2);
const options = {
  ...{ short: args.includes('--short'), readme: args.includes('--readme') },
  families: args.filter((name) => !name.startsWith('-')),
};

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('skipped: other programs are only tried on Linux, x64');
  process.exit(0);
}

const wanted = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).dependencies;
const installed = Object.entries(wanted).every(([name, version]) => {
  const manifest = join(here, 'node_modules', name, 'package.json');
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version;
});
if (!installed) {
  console.log('installing llama.cpp and transformers.js for Node (100 MB)');
  // Without optional packages, or npm would add the CUDA and Vulkan builds, 700 MB. Not `npm ci`, which wants the packages of every
  // platform to be in the lockfile.
  const npm = ['install', '--no-save', '--omit=optional', '--ignore-scripts'];
  if (spawnSync('npm', npm, { cwd: here, stdio: 'inherit' }).status !== 0) {
    console.log(options.short ? 'skipped: the packages of interop/ could not be installed' : 'not installed');
    process.exit(options.short ? 0 : 1);
  }
}

const { check } = await import('./check.mjs');
process.exitCode = (await check(options)) ? 0 : 1;
