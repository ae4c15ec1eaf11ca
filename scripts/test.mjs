// `npm test` sets up, runs every check and closes with one line of counts. `--full` adds what takes long: long unit tests, an
// installer, every family and format in other programs. Names given as arguments choose checks: `npm test -- unit`.
import fs from 'node:fs';
import path from 'node:path';
import { checkEnvironment, indent, run, runChecks, staticChecks } from './checks.mjs';
import { virtualDisplay } from './display.mjs';
import { readJson, root, setupOrExit } from './setup.mjs';
import { slowestTests } from './slowest.mjs';

const args = process.argv.slice(2);
const full = args.includes('--full');
const chosen = args.filter((argument) => !argument.startsWith('-'));
const setup = await setupOrExit({ electron: true, virtualDisplay: true });
process.chdir(root);
const reports = path.join(root, '.cache', 'test-reports');
fs.mkdirSync(reports, { recursive: true });

const environment = {
  ...checkEnvironment(setup.node),
  ELECTRON_OVERRIDE_DIST_PATH: setup.electron.dist,
  // A .deb that is only tried need not be small.
  DPKG_DEB_COMPRESSOR_LEVEL: '1',
  LOWRANK_TEST_FULL: full ? '1' : '',
};
const tool = (file, ...rest) => [setup.node, path.join(root, 'node_modules', file), ...rest];

let passed = 0;
let failed = 0;
/** What the suites wrote of themselves; null for one that did not run. */
const suiteReports = { unit: null, journeys: null };
const count = (good, bad) => {
  passed += good;
  failed += bad;
};

const chosenStatic = staticChecks(setup.node).filter(({ name }) => isChosen(name));
const { passed: good, failed: bad } = await runChecks(chosenStatic, environment);
count(good, bad);
await unitTests();
await journeys();
await programs();
const slowest = slowestTests(suiteReports);
if (slowest.length > 0) console.log(['the slowest tests:', ...slowest].join('\n  '));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** What is checked as a whole, the one beside the other: packing waits for the disk. */
async function programs() {
  const installers = full && process.platform === 'linux' ? ['--installers=deb'] : [];
  const all = [
    {
      name: 'packaged application',
      command: [setup.node, 'scripts/dist.mjs', '--smoke-test', '--allow-stand-in', ...installers],
    },
    { name: 'other programs', command: [setup.node, 'interop/run.mjs', ...(full ? [] : ['--short'])] },
  ];
  const chosenOnes = all.filter(({ name }) => isChosen(name));
  const { passed: good, failed: bad } = await runChecks(chosenOnes, environment, full ? 3600 : 1800);
  count(good, bad);
}

async function unitTests() {
  if (!isChosen('unit')) return;
  const report = path.join(reports, 'unit.json');
  fs.rmSync(report, { force: true });
  const command = tool('vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
  const result = await run(command, full ? 3 * 3600 : 1500, environment);
  suiteReports.unit = readJson(report);
  const found = suiteReports.unit;
  // A file that cannot even be loaded has no failed test in it, yet it failed.
  const broken = (found?.testResults ?? []).filter(
    (file) => file.status === 'failed' && file.assertionResults.every((one) => one.status !== 'failed'),
  ).length;
  const bad = found ? found.numFailedTests + broken : 0;
  tally('unit', result, found?.numPassedTests ?? 0, bad);
}

async function journeys() {
  if (!isChosen('journeys')) return;
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
  suiteReports.journeys = readJson(report);
  const stats = suiteReports.journeys?.stats;
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

function isChosen(name) {
  return chosen.length === 0 || chosen.some((part) => name.includes(part));
}
