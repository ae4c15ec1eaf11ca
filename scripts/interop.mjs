// `npm run interop` reads our exports with the programs people run them in, under the project's Node. `--short` is a selection of a
// minute, `--readme` puts the table into README.md.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { exitOf, root, setupOrExit } from './setup.mjs';

const { node } = await setupOrExit({});
const args = ['--disable-warning=ExperimentalWarning', path.join(root, 'interop', 'run.mjs'), ...process.argv.slice(2)];
process.exitCode = await exitOf(spawn(node, args, { stdio: 'inherit' }));
