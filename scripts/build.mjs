// Builds the window (main, preload, page) into out/, only when a source of it changed since the last build.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inTurn, nodeBinary, orExit, root, runQuietly, say, writeAtomically } from './setup.mjs';

const sources = [
  ...['electron', 'renderer', 'engine/contract.ts', 'engine/recipe.ts', 'engine/problem.ts', 'engine/rpc.ts'],
  'engine/host/request-shapes.ts',
  ...['electron.vite.config.ts', 'svelte.config.js', 'tsconfig.json', 'tsconfig.renderer.json', 'package-lock.json'],
];
const outputs = [
  ...['out/main/main.js', 'out/preload/preload.cjs', 'out/renderer/index.html'],
  ...['out/bundled/main.json', 'out/bundled/preload.json', 'out/bundled/renderer.json'],
];

export async function buildWindow() {
  if (!isBuilt()) await inTurn(build);
}

const stamp = path.join(root, 'out', 'sources.sha256');

function isBuilt() {
  const built = fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === hashSources();
  return built && outputs.every((file) => fs.existsSync(path.join(root, file)));
}

async function build() {
  // Asked again: another process may have built meanwhile.
  if (isBuilt()) return;
  say('Building the window');
  const hash = hashSources();
  fs.rmSync(stamp, { force: true });
  const electronVite = path.join(root, 'node_modules', 'electron-vite', 'bin', 'electron-vite.js');
  await runQuietly(nodeBinary(), [electronVite, 'build'], 'build');
  writeAtomically(stamp, hash);
}

function hashSources() {
  const hash = createHash('sha256');
  for (const name of sources.flatMap((source) => filesOf(source)).sort()) {
    hash
      .update(name)
      .update('\0')
      .update(fs.readFileSync(path.join(root, name)))
      .update('\0');
  }
  return hash.digest('hex');
}
function filesOf(name) {
  const full = path.join(root, name);
  if (!fs.existsSync(full)) return [];
  if (!fs.statSync(full).isDirectory()) return [name];
  return fs.readdirSync(full).flatMap((child) => filesOf(`${name}/${child}`));
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await orExit(buildWindow);
