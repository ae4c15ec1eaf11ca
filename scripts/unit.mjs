// `npm run unit -- PATTERN` runs the unit tests whose path holds PATTERN. Everything else goes on to vitest: `--watch`, `-t NAME`.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { checkEnvironment } from './checks.mjs';
import { exitOf, root, setupOrExit } from './setup.mjs';

const { node } = await setupOrExit({});
const args = process.argv.slice(2);
const command = args.includes('--watch') ? [] : ['run'];
const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { NO_COLOR: _plain, FORCE_COLOR: _forced, ...environment } = checkEnvironment(node);
process.exitCode = await exitOf(spawn(node, [vitest, ...command, ...args], { cwd: root, env: environment, stdio: 'inherit' }));
