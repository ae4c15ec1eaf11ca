// The static checks read the code and run none of it. This is their one list, for `npm run check` and for `npm test`.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { exitOf, root, say } from './setup.mjs';

/**
 * Lists the static checks, the slowest first, so that none of them is waited for alone at the end.
 * @returns {{ name: string, command: string[] }[]}
 */
export function staticChecks(node) {
  const tool = (file, ...rest) => [node, path.join(root, 'node_modules', file), ...rest];
  // What was found of files that are as they were is kept, as lint and format do.
  const types = (project) =>
    tool('typescript/bin/tsc', '-p', project, '--incremental', '--tsBuildInfoFile', `.cache/types/${project}.tsbuildinfo`);
  const cache = path.join('.cache', 'prettier');
  return [
    {
      name: 'lint',
      command: tool('eslint/bin/eslint.js', '.', '--max-warnings', '0', '--cache', '--cache-location', '.cache/eslint'),
    },
    {
      name: 'types of the window',
      command: tool(
        'svelte-check/bin/svelte-check',
        ...['--tsconfig', 'tsconfig.renderer.json', '--fail-on-warnings', '--output', 'human'],
      ),
    },
    { name: 'types of the engine', command: types('tsconfig.json') },
    { name: 'types of the shell', command: types('tsconfig.electron.json') },
    { name: 'types of the tests', command: types('tsconfig.e2e.json') },
    { name: 'types of the other programs', command: types('tsconfig.interop.json') },
    {
      name: 'format',
      command: tool(
        'prettier/bin/prettier.cjs',
        ...['--check', '.', '--log-level', 'warn', '--cache', '--cache-location', cache],
      ),
    },
    { name: 'unused files and exports', command: tool('knip/bin/knip.js', '--no-progress', '--no-config-hints') },
    {
      name: 'import rules',
      command: tool(
        'dependency-cruiser/bin/dependency-cruiser.mjs',
        ...['engine', 'electron', 'renderer', '--config', '.dependency-cruiser.cjs', '--output-type', 'err'],
      ),
    },
    { name: 'reference', command: [node, 'scripts/reference.mjs', '--check'] },
  ];
}

/** Returns the environment of every check and test: the project's own Node, and output without colours. */
export function checkEnvironment(node) {
  return {
    ...process.env,
    PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH ?? ''}`,
    NODE_OPTIONS: '--disable-warning=ExperimentalWarning',
    // Every command, engine and job that a test starts would compile all of our code anew, most of a second each.
    NODE_COMPILE_CACHE: path.join(root, '.cache', 'code'),
    FORCE_COLOR: '0',
    NO_COLOR: '1',
  };
}

/**
 * Runs checks, as many at once as there are processors, and tells of each as it ends; the output of one that fails is shown.
 * @returns {Promise<{ passed: number, failed: number }>}
 */
export async function runChecks(checks, environment, limitSeconds = 600) {
  fs.mkdirSync(path.join(root, '.cache'), { recursive: true });
  const waiting = [...checks];
  let failed = 0;
  const worker = async () => {
    for (let check = waiting.shift(); check; check = waiting.shift()) {
      const result = await run(check.command, limitSeconds, environment);
      const isGood = result.status === 0;
      if (!isGood) failed++;
      console.log(`${isGood ? 'passed' : 'FAILED'}  ${check.name} (${result.seconds.toFixed(1)} s)`);
      if (!isGood) console.log(indent(result.output));
    }
  };
  await Promise.all(Array.from({ length: Math.min(checks.length, os.availableParallelism()) }, worker));
  return { passed: checks.length - failed, failed };
}

/** Runs a command, at most to its limit. @returns {Promise<{ status: number, output: string, seconds: number }>} */
export async function run([command, ...rest], limitSeconds, env) {
  const started = performance.now();
  const child = spawn(command, rest, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + chunk).slice(-200_000)));
  const limit = setTimeout(() => {
    output += `\nended after ${limitSeconds} s`;
    child.kill('SIGKILL');
  }, limitSeconds * 1000);
  const status = await exitOf(child).catch((error) => {
    say(error.message);
    return 1;
  });
  clearTimeout(limit);
  return { status, output, seconds: (performance.now() - started) / 1000 };
}

export function indent(text) {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}
