// Builds the window (main, preload, page) into out/, only when a source of it changed since the last build.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inTurn, nodeBinary, orExit, root, runQuietly, say, SetupError, writeAtomically } from './setup.mjs';

/** These are built, with all that they import. */
const parts = ['electron', 'renderer'];
const settings = [
  'electron.vite.config.ts',
  'svelte.config.js',
  'tsconfig.json',
  'tsconfig.renderer.json',
  'package-lock.json',
];
const outputs = [
  ...['out/main/main.js', 'out/preload/preload.cjs', 'out/renderer/index.html'],
  ...['out/bundled/main.json', 'out/bundled/preload.json', 'out/bundled/renderer.json'],
];

export async function buildWindow() {
  if (!isBuilt()) await inTurn(build);
}

/** Says which sources `out` was built from; without it the window is built anew. */
export const buildStamp = path.join(root, 'out', 'sources.sha256');

function isBuilt() {
  const built = fs.existsSync(buildStamp) && fs.readFileSync(buildStamp, 'utf8') === hashSources();
  return built && outputs.every((file) => fs.existsSync(path.join(root, file)));
}

async function build() {
  // Asked again: another process may have built meanwhile.
  if (isBuilt()) return;
  say('Building the window');
  const hash = hashSources();
  fs.rmSync(buildStamp, { force: true });
  const electronVite = path.join(root, 'node_modules', 'electron-vite', 'bin', 'electron-vite.js');
  await runQuietly(nodeBinary(), [electronVite, 'build'], 'build');
  refuseDevelopment();
  writeAtomically(buildStamp, hash);
}

/** A window that takes its page from wherever the environment says would be a way in, so only a development build may have it. */
function refuseDevelopment() {
  if (fs.readFileSync(path.join(root, 'out', 'main', 'main.js'), 'utf8').includes('ELECTRON_RENDERER_URL'))
    throw new SetupError('The build of the shell still takes its page from a development server: see electron/protocol.ts.');
}

/** Lists the files that the window is built from. */
export function sources() {
  return [...settings, ...withImports(parts.flatMap(filesOf))].sort();
}

function hashSources() {
  const hash = createHash('sha256');
  for (const name of sources()) {
    hash
      .update(name)
      .update('\0')
      .update(fs.readFileSync(path.join(root, name)))
      .update('\0');
  }
  return hash.digest('hex');
}

/** Returns files with those of this project that they import, other than for types. */
function withImports(files) {
  const all = new Set(files);
  // A set also yields what is added meanwhile.
  for (const file of all) {
    if (!/\.(ts|svelte)$/.test(file)) continue;
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    for (const [, name] of text.matchAll(/^\s*(?:import|export)\b(?! type\b)[^;]*?'(\.{1,2}\/[^'?]+)/gm)) {
      const imported = path.posix.join(path.posix.dirname(file), name);
      if (fs.existsSync(path.join(root, imported))) all.add(imported);
    }
  }
  return all;
}

function filesOf(name) {
  const full = path.join(root, name);
  if (!fs.statSync(full).isDirectory()) return [name];
  return fs.readdirSync(full).flatMap((child) => filesOf(`${name}/${child}`));
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await orExit(buildWindow);
