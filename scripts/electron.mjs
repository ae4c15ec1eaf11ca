// Says what Electron finds on this machine: a display, a sandbox, and a terminal that may end it.
import fs from 'node:fs';
import path from 'node:path';
import { exitOf, say } from './setup.mjs';

/** Passes on to the child what is sent to this process alone. A terminal sends Ctrl-C to both. */
export async function follow(child) {
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await exitOf(child);
}

export function hasDisplay() {
  if (process.platform !== 'linux' || process.env.WAYLAND_DISPLAY) return true;
  const display = process.env.DISPLAY ?? '';
  // A shell may have kept the name of a server that is gone.
  const local = /^:(\d+)/.exec(display);
  return local ? fs.existsSync(`/tmp/.X11-unix/X${local[1]}`) : display !== '';
}

/** Says whether Chromium's sandbox runs: never as root, on Linux only with user namespaces or its helper owned by root. */
export function canSandbox(dist) {
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
