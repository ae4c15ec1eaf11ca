/**
 * The command line runs in a network namespace without a network, with a home and a temporary folder of its own. The kernel
 * counts for each namespace what it had no way to send, so an attempt of any library in any process is seen, whatever it was
 * for.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const lowrank = fileURLToPath(new URL('../../bin/lowrank.mjs', import.meta.url));
const resources = fileURLToPath(new URL('../../resources', import.meta.url));
const model = ['--model', join(resources, 'tiny', 'model')];
const rows = ['--data', join(resources, 'samples', 'json-orders', 'test.jsonl')];

const folder = mkdtempSync(join(tmpdir(), 'lowrank-offline-'));
// So long that the socket of the data folder below it has to lie elsewhere.
const home = join(folder, 'home'.padEnd(80, '-'));
const temporary = join(folder, 'temporary');
const work = join(folder, 'work');
const dataDir = join(home, '.local', 'share', 'lowrank-studio');

/** A process that holds the namespace; null where there is none to be had. */
let holder: ChildProcess | null = null;
let whyNot = '';

beforeAll(async () => {
  for (const each of [home, temporary, work]) mkdirSync(each);
  if (process.platform !== 'linux') {
    whyNot = 'only Linux has network namespaces';
    return;
  }
  // Services that look names up for others listen in /run. The holder ends with this process, whose end closes its input.
  const script = 'mount -t tmpfs none /run && echo ready && exec cat';
  const child = spawn('unshare', ['--map-root-user', '--net', '--mount', 'sh', '-c', script]);
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.on('error', (error) => (errors += error.message));
  const ready = await new Promise<boolean>((done) => {
    child.stdout.once('data', () => done(true));
    child.once('close', () => done(false));
  });
  if (ready) holder = child;
  else whyNot = `no network namespace can be had here: ${errors.trim()}`;
});
afterAll(() => {
  holder?.stdin?.end();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
});

/** Starts a program inside. It inherits nothing: what a variable of this machine would silence is not silent elsewhere. */
function start(program: string, args: readonly string[]): { child: ChildProcess; ended: Promise<[number | null, string]> } {
  const inside = ['--target', String(holder!.pid), '--user', '--net', '--mount', '--preserve-credentials', `--wd=${work}`];
  const env = { PATH: process.env['PATH'], HOME: home, TMPDIR: temporary };
  const child = spawn('nsenter', [...inside, program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, ended: new Promise((done) => child.on('close', (status) => done([status, output]))) };
}
async function succeed(program: string, ...args: string[]): Promise<string> {
  const [status, output] = await start(program, args).ended;
  expect(status, output).toBe(0);
  return output;
}
const studio = (...args: string[]) => succeed(process.execPath, lowrank, ...args);

/** How often anything inside tried to send something, in both versions of the protocol. */
async function attempts(): Promise<number> {
  const [names, values] = (await succeed('grep', '^Ip:', '/proc/self/net/snmp')).trim().split('\n');
  const column = names!.split(' ').indexOf('OutNoRoutes');
  const [, six] = await start('grep', ['Ip6OutNoRoutes', '/proc/self/net/snmp6']).ended;
  return Number(values!.split(' ')[column]) + Number(six.trim().split(/\s+/)[1] ?? 0);
}

test('without a network everything works, nobody is called, and nothing is left but the data', async (context) => {
  if (holder === null) {
    console.log(`skipped: ${whyNot}`);
    context.skip(whyNot);
  }
  await studio('train', ...model, ...rows, '--out', 'run', '--set', 'maxSteps=4');
  const adapter = ['--adapter', join(work, 'run', 'adapter')];
  await studio('evaluate', ...model, ...rows, ...adapter);
  await studio('generate', ...model, ...adapter, '--prompt', 'Hello', '--max-tokens', '4');
  await studio('export', ...model, ...adapter, '--format', 'gguf', '--quantization', 'f16', '--out', 'model.gguf');
  await studio('export', ...model, ...adapter, '--format', 'onnx', '--quantization', 'f32', '--out', 'onnx');
  // Left alone, the runtime makes its first call four seconds after it was loaded.
  const { child, ended } = start(process.execPath, [
    ...[lowrank, 'train', ...model, ...rows, '--out', 'long'],
    ...['--set', 'maxSteps=1000000', '--set', 'evalEvery=0', '--set', 'saveEvery=0'],
  ]);
  child.stderr!.on('data', (chunk: Buffer) => {
    if (chunk.toString().includes('Training')) setTimeout(() => child.kill('SIGINT'), 6000);
  });
  const [status, output] = await ended;
  expect(status, output).toBe(130);
  const made = await attempts();
  await expect.poll(() => existsSync(join(dataDir, 'host', 'lock'))).toBe(false);

  const left = readdirSync(home, { recursive: true }).map((name) => join(home, String(name)));
  expect({
    attempts: made,
    home: left.filter((path) => !path.startsWith(dataDir) && !dataDir.startsWith(path)),
    temporary: readdirSync(temporary),
    work: readdirSync(work).sort(),
  }).toEqual({ attempts: 0, home: [], temporary: [], work: ['long', 'model.gguf', 'onnx', 'run'] });

  // An attempt would have been seen.
  await succeed(process.execPath, '-e', "require('node:dns').lookup('lowrank.invalid', () => {})");
  expect(await attempts()).toBeGreaterThan(0);
}, 180_000);
