// `npm run dist` packs the application as a folder in dist/, checked against what it may hold.
//   --installers      also the installers of this system and the list of what they are made of (docs/releasing.md); `--installers=deb`
//                     only those named
//   --smoke-test      the result (of a .deb what it holds) is started once and must train a step
//   --allow-stand-in  packs another Electron than the pinned one where that cannot be had; all files are named so
import yaml from 'js-yaml';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildWindow } from './build.mjs';
import { virtualDisplay } from './display.mjs';
import { bundledPackages } from './packing/bundled.mjs';
import { contentProblems } from './packing/contents.mjs';
import { fuseProblems } from './packing/fuses.mjs';
import { writeInstallers } from './packing/installers.mjs';
import { runtimeToPack } from './packing/runtime.mjs';
import { exitOf, orExit, readJson, root, runQuietly, say, SetupError, setupOrExit } from './setup.mjs';

const known = ['--installers', '--smoke-test', '--allow-stand-in'];
const args = process.argv.slice(2);
const unknown = args.find((argument) => !known.includes(argument.replace(/^(--installers)=.+$/, '$1')));
if (unknown !== undefined) {
  say(`${unknown} is not an option of this command; there are ${known.join(', ')}.`);
  process.exit(2);
}
const smokeTest = args.includes('--smoke-test');
const installers = args.find((argument) => argument.startsWith('--installers'));
const targets = installers?.split('=')[1]?.split(',') ?? [];
const allowStandIn = args.includes('--allow-stand-in');
const setup = await setupOrExit({ electron: true, pinnedElectron: !allowStandIn, virtualDisplay: smokeTest });
process.chdir(root);

const { devDependencies } = readJson('package.json');
const names = {
  linux: { folder: 'linux-unpacked', executable: 'lowrank-studio', resources: 'resources' },
  win32: { folder: 'win-unpacked', executable: 'Lowrank Studio.exe', resources: 'resources' },
  darwin: { folder: 'mac', executable: 'Lowrank Studio.app', resources: 'Lowrank Studio.app/Contents/Resources' },
}[process.platform];

const made = await orExit(async () => {
  const { label } = runtimeToPack(setup.electron, devDependencies.electron, allowStandIn);
  await buildWindow();
  say('Packing the application');
  const output = label === '' ? 'dist' : path.join('dist', label.slice(1));
  fs.rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  const builder = path.join(root, 'node_modules', 'electron-builder', 'cli.js');
  process.env.LOWRANK_PACKED_NODE = setup.node;
  const options = [
    `-c.directories.output=${output}`,
    `-c.electronDist=${setup.electron.dist}`,
    `-c.electronVersion=${setup.electron.version}`,
    `-c.artifactName=lowrank-studio-\${version}${label}-\${os}-\${arch}.\${ext}`,
    `-c.deb.packageName=lowrank-studio${label}`,
  ];
  await runQuietly(setup.node, [builder, '--dir', '--publish=never', ...options], 'packing');
  const suffix = process.arch === 'arm64' ? '-arm64' : '';
  const packed = path.join(root, output, names.folder.replace(/(-unpacked)?$/, `${suffix}$1`));
  await checkPackage(packed);
  // electron-builder's word for what is packed already: on macOS the application itself.
  const prepackaged = process.platform === 'darwin' ? path.join(packed, names.executable) : packed;
  const order = { node: setup.node, builder, prepackaged, output, options, targets };
  return { packed, files: installers ? await writeInstallers(order) : [] };
});
say(`The application is in ${path.relative(root, made.packed)}.`);
if (smokeTest) process.exitCode = await runSmokeTest();

async function checkPackage(packed) {
  const { electronFuses } = yaml.load(fs.readFileSync('electron-builder.yml', 'utf8'));
  const problems = [
    ...contentProblems(path.join(packed, names.resources), bundledPackages()),
    ...(await fuseProblems(path.join(packed, names.executable), electronFuses)),
  ];
  if (problems.length > 0) throw new SetupError(`The package is not what it should be:\n${problems.join('\n')}`);
}

function executableIn(packed) {
  const executable = path.join(packed, names.executable);
  return process.platform === 'darwin' ? path.join(executable, 'Contents', 'MacOS', 'Lowrank Studio') : executable;
}

/** Starts what the .deb holds where one was made, else the folder. */
async function runSmokeTest() {
  const deb = made.files.find((file) => file.endsWith('.deb'));
  if (deb === undefined) return startOnce(executableIn(made.packed));
  const unpacked = fs.mkdtempSync(path.join(os.tmpdir(), 'lowrank-deb-'));
  try {
    await orExit(() => runQuietly('dpkg-deb', ['--extract', deb, unpacked], 'unpacking the .deb'));
    return await startOnce(path.join(unpacked, 'opt', 'Lowrank Studio', names.executable));
  } finally {
    fs.rmSync(unpacked, { recursive: true, force: true });
  }
}

async function startOnce(executable) {
  const display = await virtualDisplay();
  const switches = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const environment = { ...process.env, ...display.environment };
  for (const name of ['LOWRANK_NODE', 'LOWRANK_RESOURCES', 'ELECTRON_RUN_AS_NODE', 'NODE_OPTIONS', 'NODE_COMPILE_CACHE'])
    delete environment[name];
  const child = spawn(executable, [...switches, '--smoke-test'], {
    stdio: 'inherit',
    env: environment,
    cwd: path.dirname(executable),
  });
  const status = await exitOf(child);
  display.end();
  return status;
}
