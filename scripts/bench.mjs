// `npm run bench` measures speed and peak memory of training with bench/bench.ts, under the project's Node.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { exitOf, root, setupOrExit } from './setup.mjs';

const { node } = await setupOrExit({});
const args = ['--disable-warning=ExperimentalWarning', path.join(root, 'bench', 'bench.ts'), ...process.argv.slice(2)];
process.exitCode = await exitOf(spawn(node, args, { stdio: 'inherit' }));
