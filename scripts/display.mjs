// A screen that nobody sees lets tests run the same with and without a display.
import { spawn } from 'node:child_process';
import { onPath } from './setup.mjs';

/** Starts a display that nobody sees. @returns {Promise<{ environment: Record<string, string>, end: () => void }>} */
export async function virtualDisplay() {
  if (process.platform !== 'linux' || !onPath('Xvfb')) return { environment: {}, end: () => {} };
  const server = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1600x1000x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const number = await new Promise((resolve, reject) => {
    server.stdio[3].once('data', (chunk) => resolve(String(chunk).trim()));
    server.once('exit', () => reject(new Error('Xvfb could not start')));
  });
  // From Electron 38 on a Wayland session comes before DISPLAY.
  const onlyHere = { DISPLAY: `:${number}`, WAYLAND_DISPLAY: '', XDG_SESSION_TYPE: 'x11', LIBGL_ALWAYS_SOFTWARE: '1' };
  return { environment: onlyHere, end: () => server.kill() };
}
