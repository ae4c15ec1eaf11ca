#!/usr/bin/env node
// The `lowrank` command of a checkout: makes sure everything is installed, then runs the command line under the project's own Node
// with the same terminal, signals and exit status.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { exitOf, root, setupOrExit } from '../scripts/setup.mjs';

const { node } = await setupOrExit({});
const guard = pathToFileURL(path.join(root, 'bin', 'guard.mjs')).href;
const child = spawn(
  node,
  ['--disable-warning=ExperimentalWarning', '--import', guard, path.join(root, 'engine', 'cli.ts'), ...process.argv.slice(2)],
  { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] },
);
// A terminal sends Ctrl-C to both processes, `kill` to this one alone: what arrives here is passed on, and the guard drops repeats.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (child.connected) child.send({ signal });
  });
}
process.exitCode = await exitOf(child);
