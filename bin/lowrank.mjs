#!/usr/bin/env node
// The `lowrank` command of a checkout: makes sure everything is installed, then runs the command line under the project's own Node
// with the same terminal, signals and exit status.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { exitStatus, stoppedBy } from './signals.mjs';

let child = null;
// A terminal sends Ctrl-C to both processes, `kill` to this one alone: what arrives here is passed on, and the guard drops repeats.
for (const signal of Object.keys(exitStatus)) {
  process.on(signal, () => {
    if (child?.connected) child.send({ signal });
    // Before there is a child, whoever sets something up ends that first, and listens as well.
    else if (child === null && process.listenerCount(signal) === 1) stoppedBy(signal);
  });
}

const { exitOf, root, setupOrExit } = await import('../scripts/setup.mjs');
const { node } = await setupOrExit({});
const guard = pathToFileURL(path.join(root, 'bin', 'guard.mjs')).href;
child = spawn(
  node,
  ['--disable-warning=ExperimentalWarning', '--import', guard, path.join(root, 'engine', 'cli.ts'), ...process.argv.slice(2)],
  { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] },
);
process.exitCode = await exitOf(child);
// It had not yet begun to listen.
if (child.signalCode in exitStatus) stoppedBy(child.signalCode);
