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
 * Installs what is missing, and says where things are.
 * @param {{ electron?: boolean, pinnedElectron?: boolean, virtualDisplay?: boolean }} wanted electron: also the runtime of the window;
 *   pinnedElectron: tries once more for the pinned version where only a stand-in was found; virtualDisplay: also Xvfb
 * @returns {Promise<{ node: string, electron: { executable: string, dist: string, kind: 'own' | 'stand-in', version: string } | null }>}
 */
export async function ensureSetup(wanted = {}) {
  const lock = fs.readFileSync(path.join(root, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = readJson(stampFile) ?? {};
  if (stamp.lock === hash && isReady(stamp, wanted)) return { node: nodeBinary(), electron: stamp.electron ?? null };

  return inTurn(async () => {
    // Read again: another set-up may have come to its end meanwhile.
    const stamp = readJson(stampFile) ?? {};
    if (stamp.lock !== hash && !isInstalled(JSON.parse(lock.toString('utf8')))) await installPackages();
    linkCommand();
    const node = nodeBinary();
    const done = { lock: hash, electron: stamp.lock === hash ? (stamp.electron ?? null) : null };
    if (wanted.electron) {
      const found = done.electron && fs.existsSync(done.electron.executable);
      if (!found || (wanted.pinnedElectron && done.electron.kind !== 'own')) done.electron = await installElectron(node);
      await installLibraries(done.electron.executable, wanted.virtualDisplay === true);
      done.libraries = true;
    }
    writeAtomically(stampFile, JSON.stringify(done, null, 2) + '\n');
    return { node, electron: done.electron };
  });
}

/** Returns the Node that runs the engine: the platform package's binary, or the running one when it is new enough. */
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
  if (wanted.pinnedElectron && stamp.electron.kind !== 'own') return false;
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
    const script = path.join(root, 'scripts', 'electron-runtime.mjs');
    const child = startChild(node, [script, result, ...npmCommand()], { stdio: ['ignore', 2, 2] });
    if ((await exitOf(child)) !== 0) throw new SetupError('No Electron could be installed; the lines above say why.');
    return readJson(result);
  } finally {
    fs.rmSync(result, { force: true });
  }
}

async function installLibraries(executable, virtualDisplay) {
  if (process.platform !== 'linux') return;
  const linked = spawnSync('ldd', [executable], { encoding: 'utf8' }).stdout ?? '';
  const missing = linked.split('\n').filter((line) => line.includes('not found'));
  const needed = [...(missing.length > 0 ? windowPackages : []), ...(virtualDisplay && !onPath('Xvfb') ? ['xvfb'] : [])];
  if (needed.length === 0) return;
  if (!onPath('apt-get')) {
    const names = [...missing.map((line) => line.trim().split(' ')[0]), ...(virtualDisplay ? ['Xvfb'] : [])];
    throw new SetupError(`Install with your package manager what is missing here: ${names.join(', ')}.`);
  }
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      'The window needs system packages that only root may install. Run this once:\n' +
        `  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${aptNames(needed).join(' ')}`,
    );
  }
  process.env.DEBIAN_FRONTEND = 'noninteractive';
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  say('Reading the lists of system packages');
  // Old lists are good enough where new ones cannot be had.
  await runQuietly('apt-get', ['update', '-q', ...wait], 'lists of packages').catch(() => {});
  const names = aptNames(needed);
  say(`Installing system packages: ${names.join(' ')}`);
  // An installation that was interrupted is brought to its end first; apt refuses to go on otherwise.
  await runQuietly('dpkg', ['--configure', '-a'], 'system packages');
  await runQuietly('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...wait, ...names], 'system packages');
}

/** Those that are not there yet; newer Debian and Ubuntu renamed some libraries with the ending t64. */
function aptNames(names) {
  const found = names.map((name) => {
    const known = [name, `${name}t64`].find((one) => aptPolicy(one).candidate) ?? name;
    return { name: known, installed: aptPolicy(known).installed };
  });
  const missing = found.filter(({ installed }) => !installed);
  // Files that vanished from an installed package come back with all of them.
  return (missing.length > 0 ? missing : found).map(({ name }) => name);
}
function aptPolicy(name) {
  const shown =
    spawnSync('apt-cache', ['policy', name], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } }).stdout ?? '';
  return { installed: /Installed: (?!\(none\))/.test(shown), candidate: /Candidate: (?!\(none\))/.test(shown) };
}

// ── Processes and files ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Returns npm as a command that needs no shell: the one that runs us, else the one beside this Node, else `npm`. */
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
  const child = startChild(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + chunk).slice(-20_000)));
  const timer = setInterval(() => say(`  ${what}: ${Math.round((Date.now() - started) / 1000)} s`), 10_000);
  const status = await exitOf(child);
  clearInterval(timer);
  if (status !== 0)
    throw new SetupError(
      `${command === process.execPath ? path.basename(args[0]) : command} failed (${what}):\n${output.trim().split('\n').slice(0, 60).join('\n')}`,
    );
}

/** Waits for a process to end. @returns {Promise<number>} the exit status; 128 + number for a signal, as a shell says it */
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

// ── One at a time ───────────────────────────────────────────────────────────────────────────────────────────────────────

const lockFile = path.join(root, '.cache', 'setup.lock');
/** A lock nobody can read yet is being written; after this long it is nobody's. */
const lockWriteMilliseconds = 2000;
/** The children of the work in turn; null while this process has no turn. */
let children = null;

/** Does `work` while no other process sets up or builds in this checkout. */
export async function inTurn(work) {
  await takeTurn();
  children = new Set();
  let stopping = null;
  const stop = (signal) => {
    // The lock stays: it is void as soon as they are gone.
    stopping ??= endChildren().then(() => process.exit(128 + os.constants.signals[signal]));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.once(signal, stop);
  try {
    return await work();
  } finally {
    // What fails because it was ended is no failure to tell.
    await stopping;
    for (const signal of signals) process.off(signal, stop);
    children = null;
    fs.rmSync(lockFile, { force: true });
  }
}

/** Asks for seconds, because npm passes over the first signal, and then ends what may be ended at any moment: npm starts over. */
async function endChildren() {
  for (let asked = 1; children.size > 0 && asked <= 20; asked++) {
    for (const child of children) child.kill(asked === 20 && child.spawnfile === process.execPath ? 'SIGKILL' : 'SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Starts a process that ends with us. Its name goes into the lock, because npm and apt live on when we are killed. */
function startChild(command, args, options) {
  const child = spawn(command, args, options);
  if (children && child.pid) {
    children.add(child);
    child.once('close', () => children?.delete(child));
    writeAtomically(lockFile, JSON.stringify([nameOf(process.pid), nameOf(child.pid)]));
  }
  return child;
}

async function takeTurn() {
  fs.mkdirSync(path.dirname(lockFile), { recursive: true });
  let told = false;
  for (;;) {
    try {
      fs.writeFileSync(lockFile, JSON.stringify([nameOf(process.pid)]), { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isVoid()) {
      fs.rmSync(lockFile, { force: true });
      continue;
    }
    if (!told) say('Waiting for another set-up of this checkout');
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function isVoid() {
  const owners = readJson(lockFile);
  if (Array.isArray(owners)) return !owners.some((owner) => isAlive(owner.pid) && nameOf(owner.pid).started === owner.started);
  const written = fs.statSync(lockFile, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - written > lockWriteMilliseconds;
}

/** A process by its number and, where the system tells, its start: numbers are given out again. */
function nameOf(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in brackets, may hold anything; the start is the twentieth field after it.
    return { pid, started: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] };
  } catch {
    return { pid, started: null };
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

/** Ends an entry script that cannot go on with a sentence instead of a stack. */
export async function orExit(work) {
  try {
    return await work();
  } catch (error) {
    // Errors of the system name the file and what was wrong with it.
    if (!(error instanceof SetupError) && !error.syscall) throw error;
    say(error instanceof SetupError ? error.message : `The set-up cannot go on: ${error.message}.`);
    process.exit(1);
  }
}

export const setupOrExit = (wanted) => orExit(() => ensureSetup(wanted));

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const found = await setupOrExit({ electron: true, virtualDisplay: process.argv.includes('--virtual-display') });
  say(`Ready. Node ${found.node}; Electron ${found.electron.version} (${found.electron.kind}).`);
}
