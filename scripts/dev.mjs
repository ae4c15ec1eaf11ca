// `npm run dev` opens the window on the sources. The page takes changes over as they are saved, the shell starts again at its own.
// Without a display it opens on one that nobody sees; `-- --remoteDebuggingPort 9222` lets a browser look at it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildStamp } from './build.mjs';
import { virtualDisplay } from './display.mjs';
import { canSandbox, follow, hasDisplay } from './electron.mjs';
import { inTurn, root, say, setupOrExit } from './setup.mjs';

const args = process.argv.slice(2);
const isSeen = hasDisplay();
const setup = await setupOrExit({ electron: true, virtualDisplay: !isSeen });
const display = isSeen ? { environment: {}, end: () => {} } : await virtualDisplay();
if (!isSeen) say('There is no display here, so the window opens on a virtual one.');
// What development leaves in `out` is no build that `npm start` may open.
await inTurn(async () => fs.rmSync(buildStamp, { force: true }));

const environment = { ...process.env, ...display.environment, LOWRANK_NODE: setup.node };
environment.ELECTRON_EXEC_PATH = setup.electron.executable;
if (!canSandbox(setup.electron.dist)) environment.NO_SANDBOX = '1';
delete environment.ELECTRON_RUN_AS_NODE;
const electronVite = path.join(root, 'node_modules', 'electron-vite', 'bin', 'electron-vite.js');
const command = [electronVite, 'dev', '--watch', ...args];
await follow(spawn(setup.node, command, { cwd: root, env: environment, stdio: 'inherit' }));
display.end();
