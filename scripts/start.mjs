// `npm start`: sets up, builds what changed, opens the studio. Without a display it runs the demo in the terminal instead.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildWindow } from './build.mjs';
import { exitOf, orExit, root, say, setupOrExit } from './setup.mjs';

const args = process.argv.slice(2);
if (hasDisplay()) await openStudio();
else await runDemo();

async function openStudio() {
  const setup = await setupOrExit({ electron: true });
  await orExit(buildWindow);
  // Chromium's own notes about a missing bus or graphics card say nothing about the studio.
  const switches = ['--log-level=3', ...(canSandbox(setup.electron.dist) ? [] : ['--no-sandbox'])];
  const environment = { ...process.env, LOWRANK_NODE: setup.node };
  delete environment.ELECTRON_RUN_AS_NODE;
  await follow(spawn(setup.electron.executable, [...switches, root, ...args], { stdio: 'inherit', env: environment }));
}

async function runDemo() {
  say('There is no display here, so the demo runs in this terminal instead of the window.');
  await setupOrExit({});
  await follow(spawn(process.execPath, [path.join(root, 'bin', 'lowrank.mjs'), 'demo', ...args], { stdio: 'inherit' }));
}

/** A terminal sends Ctrl-C to the child as well; what is sent to this process alone is passed on. */
async function follow(child) {
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await exitOf(child);
}

function hasDisplay() {
  if (process.platform !== 'linux' || process.env.WAYLAND_DISPLAY) return true;
  const display = process.env.DISPLAY ?? '';
  // A shell may have kept the name of a server that is gone.
  const local = /^:(\d+)/.exec(display);
  return local ? fs.existsSync(`/tmp/.X11-unix/X${local[1]}`) : display !== '';
}

/** Chromium's sandbox does not run as root, and on Linux needs user namespaces or its helper owned by root. */
function canSandbox(dist) {
  if (process.platform !== 'linux') return true;
  if (process.getuid?.() === 0) return false;
  const helper = fs.statSync(path.join(dist, 'chrome-sandbox'), { throwIfNoEntry: false });
  if (helper && helper.uid === 0 && (helper.mode & 0o4000) !== 0) return true;
  const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : null);
  const allowed =
    read('/proc/sys/kernel/unprivileged_userns_clone') !== '0' &&
    read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') !== '1';
  if (!allowed)
    say('This system gives no sandbox to programs outside its packages, so the window of this checkout runs without one.');
  return allowed;
}
