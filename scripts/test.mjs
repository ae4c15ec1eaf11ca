// `npm test`: sets up, runs every check and closes with one line of counts. `--full` adds what takes long: long unit tests, an
// installer, every family and format in other programs. Names given as arguments choose checks: `npm test -- unit`.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { virtualDisplay } from './display.mjs';
import { exitOf, readJson, root, say, setupOrExit } from './setup.mjs';

const args = process.argv.slice(2);
const full = args.includes('--full');
const chosen = args.filter((argument) => !argument.startsWith('-'));
const setup = await setupOrExit({ electron: true, virtualDisplay: true });
process.chdir(root);
const reports = path.join(root, '.cache', 'test-reports');
fs.mkdirSync(reports, { recursive: true });

const environment = {
  ...process.env,
  PATH: `${path.dirname(setup.node)}${path.delimiter}${process.env.PATH ?? ''}`,
  NODE_OPTIONS: '--disable-warning=ExperimentalWarning',
  ELECTRON_OVERRIDE_DIST_PATH: setup.electron.dist,
  // A .deb that is only tried need not be small.
  DPKG_DEB_COMPRESSOR_LEVEL: '1',
  LOWRANK_TEST_FULL: full ? '1' : '',
  FORCE_COLOR: '0',
  NO_COLOR: '1',
};
const tool = (file, ...rest) => [setup.node, path.join(root, 'node_modules', file), ...rest];
const has = (folder, ending) =>
  fs.existsSync(folder) && fs.readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(ending));

let passed = 0;
let failed = 0;
const count = (good, bad) => {
  passed += good;
  failed += bad;
};

await check('types of the engine', tool('typescript/bin/tsc', '-p', 'tsconfig.json'));
if (has('electron', '.ts')) await check('types of the shell', tool('typescript/bin/tsc', '-p', 'tsconfig.electron.json'));
await check('types of the tests', tool('typescript/bin/tsc', '-p', 'tsconfig.e2e.json'));
if (has('renderer', '.svelte')) {
  await check(
    'types of the window',
    tool('svelte-check/bin/svelte-check', '--tsconfig', 'tsconfig.renderer.json', '--fail-on-warnings', '--output', 'human'),
  );
}
await check('lint', tool('eslint/bin/eslint.js', '.', '--max-warnings', '0', '--cache', '--cache-location', '.cache/eslint'));
await check(
  'format',
  tool('prettier/bin/prettier.cjs', '--check', '.', '--log-level', 'warn', '--cache', '--cache-location', '.cache/prettier'),
);
const roots = ['engine', 'electron', 'renderer'].filter((name) => has(name, '.ts'));
await check(
  'import rules',
  tool(
    'dependency-cruiser/bin/dependency-cruiser.mjs',
    ...roots,
    '--config',
    '.dependency-cruiser.cjs',
    '--output-type',
    'err',
  ),
);
await check('unused files and exports', tool('knip/bin/knip.js', '--no-progress', '--no-config-hints'));
await unitTests();
await journeys();
const installers = full && process.platform === 'linux' ? ['--installers=deb'] : [];
await check('packaged application', [setup.node, 'scripts/dist.mjs', '--smoke-test', '--allow-stand-in', ...installers], 1800);
await check('other programs', [setup.node, 'interop/run.mjs', ...(full ? [] : ['--short'])], full ? 3600 : 600);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** One check that passes or fails as a whole; its output is shown when it fails. */
async function check(name, command, limitSeconds = 300) {
  if (!isChosen(name)) return;
  const result = await run(command, limitSeconds, environment);
  count(result.status === 0 ? 1 : 0, result.status === 0 ? 0 : 1);
  console.log(`${result.status === 0 ? 'passed' : 'FAILED'}  ${name} (${result.seconds.toFixed(1)} s)`);
  if (result.status !== 0) console.log(indent(result.output));
}

async function unitTests() {
  if (!isChosen('unit')) return;
  const report = path.join(reports, 'unit.json');
  fs.rmSync(report, { force: true });
  const command = tool('vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
  const result = await run(command, full ? 3 * 3600 : 1500, environment);
  const found = readJson(report);
  // A file that cannot even be loaded has no failed test in it, yet it failed.
  const broken = (found?.testResults ?? []).filter(
    (file) => file.status === 'failed' && file.assertionResults.every((one) => one.status !== 'failed'),
  ).length;
  const bad = found ? found.numFailedTests + broken : 0;
  tally('unit', result, found?.numPassedTests ?? 0, bad);
}

async function journeys() {
  if (!isChosen('journeys') || !has('e2e', '.spec.ts')) return;
  const build = await run([setup.node, 'scripts/build.mjs'], 300, environment);
  if (build.status !== 0) return tally('journeys (build of the window)', build, 0, 1);
  const report = path.join(reports, 'journeys.json');
  fs.rmSync(report, { force: true });
  const display = await virtualDisplay();
  const command = tool('playwright/cli.js', 'test', '--reporter=list,json');
  const result = await run(command, full ? 3600 : 1200, {
    ...environment,
    ...display.environment,
    PLAYWRIGHT_JSON_OUTPUT_FILE: report,
  });
  display.end();
  const stats = readJson(report)?.stats;
  tally('journeys', result, stats?.expected ?? 0, (stats?.unexpected ?? 0) + (stats?.flaky ?? 0));
}

/** Counts a suite; a suite that ended badly without naming a failed test counts as one failure. */
function tally(name, result, good, bad) {
  const failures = result.status !== 0 && bad === 0 ? 1 : bad;
  count(good, failures);
  console.log(
    `${failures === 0 ? 'passed' : 'FAILED'}  ${name}: ${good} passed, ${failures} failed (${result.seconds.toFixed(1)} s)`,
  );
  if (failures > 0) console.log(indent(result.output));
}

/** @returns {Promise<{ status: number, output: string, seconds: number }>} */
async function run([command, ...rest], limitSeconds, env) {
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

function isChosen(name) {
  return chosen.length === 0 || chosen.some((part) => name.includes(part));
}
function indent(text) {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}
