// `npm start` sets up, builds what changed, opens the studio. Without a display it runs the demo in the terminal instead.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { buildWindow } from './build.mjs';
import { canSandbox, follow, hasDisplay } from './electron.mjs';
import { orExit, root, say, setupOrExit } from './setup.mjs';

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
