// Brings a fresh checkout to a working state: packages by the lockfile, a Node for the project's own processes, Electron, and on
// Debian and Ubuntu the system libraries a window needs. Plain Node 20 modules only, because nothing else is installed yet.
// Silent when nothing is missing. Everything is said on stderr: stdout belongs to the command that asked for the set-up.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const stampFile = path.join(modules, '.lowrank-setup.json');
/** The lowest Node the engine runs under: it loads TypeScript as it is and better-sqlite3 by Node-API 10. */
const engineNodeMajor = 24;

/** What Electron needs on Debian and Ubuntu; the t64 names are tried where these are gone. */
const windowPackages = [
  ...['libgtk-3-0', 'libnss3', 'libnspr4', 'libasound2', 'libgbm1', 'libdrm2', 'libcups2', 'libatk1.0-0', 'libatk-bridge2.0-0'],
  ...['libatspi2.0-0', 'libcairo2', 'libpango-1.0-0', 'libxkbcommon0', 'libxcomposite1', 'libxdamage1', 'libxfixes3'],
  ...['libxrandr2', 'fonts-dejavu-core'],
];

export class SetupError extends Error {}

/**
 * @param {{ electron?: boolean, virtualDisplay?: boolean }} wanted electron: also the runtime of the window; virtualDisplay: also Xvfb
 * @returns {Promise<{ node: string, electron: { executable: string, dist: string, kind: 'own' | 'stand-in', version: string } | null }>}
 */
export async function ensureSetup(wanted = {}) {
  const lock = fs.readFileSync(path.join(root, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = readJson(stampFile) ?? {};
  if (stamp.lock === hash && isReady(stamp, wanted)) return { node: nodeBinary(), electron: stamp.electron ?? null };

  const release = takeTurn();
  try {
    if (stamp.lock !== hash && !isInstalled(JSON.parse(lock.toString('utf8')))) await installPackages();
    linkCommand();
    const node = nodeBinary();
    const done = { lock: hash, electron: stamp.lock === hash ? (stamp.electron ?? null) : null };
    if (wanted.electron) {
      if (!done.electron || !fs.existsSync(done.electron.executable)) done.electron = await installElectron(node);
      installLibraries(done.electron.executable, wanted.virtualDisplay === true);
      done.libraries = true;
    }
    writeAtomically(stampFile, JSON.stringify(done, null, 2) + '\n');
    return { node, electron: done.electron };
  } finally {
    release();
  }
}

/** The Node that runs the engine: the platform package's binary, or the running one when it is new enough. */
export function nodeBinary() {
  const windows = process.platform === 'win32';
  const packaged = path.join(
    modules,
    `node-${windows ? 'win' : process.platform}-${process.arch}`,
    'bin',
    windows ? 'node.exe' : 'node',
  );
  if (fs.existsSync(packaged)) {
    if (!windows && (fs.statSync(packaged).mode & 0o111) === 0) fs.chmodSync(packaged, 0o755);
    return packaged;
  }
  if (Number(process.versions.node.split('.')[0]) >= engineNodeMajor) return process.execPath;
  throw new SetupError(
    `The engine needs Node ${engineNodeMajor}, and npm has no such package for ${process.platform} ${process.arch}. ` +
      `Install Node ${engineNodeMajor} or newer from nodejs.org and run the same command with it.`,
  );
}

function isReady(stamp, wanted) {
  if (!fs.existsSync(path.join(modules, '.bin', 'lowrank'))) return false;
  if (wanted.electron && !(stamp.libraries && stamp.electron && fs.existsSync(stamp.electron.executable))) return false;
  return !(wanted.virtualDisplay && process.platform === 'linux' && !onPath('Xvfb'));
}

/** Whether node_modules is what the lockfile says, so that an installation made by hand is not made again. */
function isInstalled(lock) {
  const hidden = readJson(path.join(modules, '.package-lock.json'));
  if (!hidden) return false;
  for (const [where, entry] of Object.entries(lock.packages)) {
    if (where === '' || entry.link) continue;
    const there = hidden.packages[where];
    if (there ? there.version !== entry.version : !entry.optional) return false;
    if (there && !fs.existsSync(path.join(root, where, 'package.json'))) return false;
    // An optional package of this platform that npm dropped silently counts as missing.
    if (
      !there &&
      (entry.os ?? []).includes(process.platform) &&
      (entry.cpu ?? []).includes(process.arch) &&
      where.includes('/node-')
    )
      return false;
  }
  return true;
}

async function installPackages() {
  say('Installing packages by the lockfile');
  const [command, ...args] = npmCommand();
  const options = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  await runQuietly(command, [...args, ...options], 'packages');
}

/** `npx lowrank` looks in node_modules/.bin, where npm puts the commands of dependencies but not our own. */
function linkCommand() {
  const bin = path.join(modules, '.bin');
  fs.mkdirSync(bin, { recursive: true });
  const link = path.join(bin, 'lowrank');
  fs.chmodSync(path.join(root, 'bin', 'lowrank.mjs'), 0o755);
  if (process.platform === 'win32') {
    fs.writeFileSync(`${link}.cmd`, '@node "%~dp0\\..\\..\\bin\\lowrank.mjs" %*\r\n');
    fs.writeFileSync(link, '#!/bin/sh\nexec node "$(dirname "$0")/../../bin/lowrank.mjs" "$@"\n');
  } else {
    fs.rmSync(link, { force: true });
    fs.symlinkSync('../../bin/lowrank.mjs', link);
  }
}

/** Runs under the project's Node, because Electron's own tools need a newer one than the set-up. */
async function installElectron(node) {
  const result = path.join(modules, `.lowrank-electron-${process.pid}.json`);
  try {
    const status = await exitOf(
      spawn(node, [path.join(root, 'scripts', 'electron-runtime.mjs'), result, ...npmCommand()], { stdio: ['ignore', 2, 2] }),
    );
    if (status !== 0) throw new SetupError('No Electron could be installed; the lines above say why.');
    return readJson(result);
  } finally {
    fs.rmSync(result, { force: true });
  }
}

function installLibraries(executable, virtualDisplay) {
  if (process.platform !== 'linux') return;
  const linked = spawnSync('ldd', [executable], { encoding: 'utf8' });
  const missing = (linked.stdout ?? '').includes('not found');
  const needed = [...(missing ? windowPackages : []), ...(virtualDisplay && !onPath('Xvfb') ? ['xvfb'] : [])];
  if (needed.length === 0) return;
  if (!onPath('apt-get')) {
    throw new SetupError(
      `The window needs system libraries that are missing here:\n${missingLines(linked.stdout)}\nInstall them with your package manager${virtualDisplay ? ', and Xvfb' : ''}.`,
    );
  }
  const root0 = process.getuid?.() === 0;
  const names = root0 ? aptNames(needed, true) : aptNames(needed, false);
  if (!root0) {
    throw new SetupError(
      `The window needs system packages that only root may install. Run this once:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names.join(' ')}`,
    );
  }
  say(`Installing system packages: ${names.join(' ')}`);
  const installed = spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...names], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  });
  if (installed.status !== 0)
    throw new SetupError(`apt-get could not install the system packages:\n${(installed.stderr ?? '').trim()}`);
}

/** Newer Debian and Ubuntu renamed some libraries with the ending t64. */
function aptNames(names, update) {
  if (update) {
    say('Reading the lists of system packages');
    spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore' });
  }
  return names.map((name) => (isAptPackage(name) || !isAptPackage(`${name}t64`) ? name : `${name}t64`));
}
function isAptPackage(name) {
  const shown = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' }).stdout ?? '';
  return /Candidate: (?!\(none\))/.test(shown);
}
function missingLines(ldd) {
  return (ldd ?? '')
    .split('\n')
    .filter((line) => line.includes('not found'))
    .map((line) => `  ${line.trim()}`)
    .join('\n');
}

// ── Processes and files ─────────────────────────────────────────────────────────────────────────────────────────────────

/** npm as a command that needs no shell: the one that runs us, else the one beside this Node, else `npm`. */
export function npmCommand() {
  const beside = [
    process.env.npm_execpath,
    path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    path.join(path.dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ].find((file) => file && /npm-cli\.c?js$/.test(file) && fs.existsSync(file));
  return beside ? [process.execPath, beside] : ['npm'];
}

/** Runs a command with its output held back: shown when it fails, with a sign of life every ten seconds. */
export async function runQuietly(command, args, what) {
  const started = Date.now();
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + chunk).slice(-20_000)));
  const timer = setInterval(() => say(`  ${what}: ${Math.round((Date.now() - started) / 1000)} s`), 10_000);
  const status = await exitOf(child);
  clearInterval(timer);
  if (status !== 0)
    throw new SetupError(
      `${path.basename(args[0] ?? command)} failed (${what}):\n${output.trim().split('\n').slice(0, 60).join('\n')}`,
    );
}

/** @returns {Promise<number>} the exit status; 128 + number for a signal, as a shell says it */
export function exitOf(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + (os.constants.signals[signal] ?? 0)));
  });
}

export function onPath(command) {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .some((folder) => folder !== '' && fs.existsSync(path.join(folder, command)));
}

export function writeAtomically(file, text) {
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, text);
  fs.renameSync(temporary, file);
}

export function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** One set-up of a checkout at a time; a lock whose owner is gone counts for nothing. */
function takeTurn() {
  const file = path.join(root, '.cache', 'setup.lock');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let told = false;
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' });
      const release = () => fs.rmSync(file, { force: true });
      process.once('exit', release);
      return () => {
        process.off('exit', release);
        release();
      };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readJson(file));
    if (!isAlive(owner)) {
      fs.rmSync(file, { force: true });
      continue;
    }
    if (!told) say(`Waiting for the set-up that process ${owner} is doing`);
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}
function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** For the entry scripts: a set-up that cannot go on is a sentence, not a stack. */
export async function setupOrExit(wanted) {
  try {
    return await ensureSetup(wanted);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exit(1);
  }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const found = await setupOrExit({ electron: true, virtualDisplay: process.argv.includes('--virtual-display') });
  say(`Ready. Node ${found.node}; Electron ${found.electron.version} (${found.electron.kind}).`);
}
