// `npm run dist`: the application as a folder in dist/. With --smoke-test the result is started once and must train a step.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildWindow } from './build.mjs';
import { virtualDisplay } from './display.mjs';
import { exitOf, orExit, root, runQuietly, say, setupOrExit } from './setup.mjs';

const smokeTest = process.argv.includes('--smoke-test');
const setup = await setupOrExit({ electron: true, virtualDisplay: smokeTest });
process.chdir(root);
await orExit(async () => {
  await buildWindow();
  say('Packing the application');
  fs.rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  const builder = path.join(root, 'node_modules', 'electron-builder', 'cli.js');
  const { dist, version } = setup.electron;
  await runQuietly(
    setup.node,
    [builder, '--dir', '--publish=never', `-c.electronDist=${dist}`, `-c.electronVersion=${version}`],
    'packing',
  );
});
const folder = fs.readdirSync('dist').find((name) => name.endsWith('unpacked') || name.startsWith('mac'));
say(`The application is in dist/${folder}.`);
if (smokeTest) process.exit(await runSmokeTest(path.join(root, 'dist', folder, 'lowrank-studio')));

async function runSmokeTest(executable) {
  const display = await virtualDisplay();
  const switches = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const environment = { ...process.env, ...display.environment };
  for (const name of ['LOWRANK_NODE', 'LOWRANK_RESOURCES', 'ELECTRON_RUN_AS_NODE', 'NODE_OPTIONS']) delete environment[name];
  const child = spawn(executable, [...switches, '--smoke-test'], {
    stdio: 'inherit',
    env: environment,
    cwd: path.dirname(executable),
  });
  const status = await exitOf(child);
  display.end();
  return status;
}
