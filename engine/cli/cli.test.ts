import { spawn, type ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectHost, type HostClient } from '../rpc.ts';

const cli = fileURLToPath(new URL('../cli.ts', import.meta.url));
const golden = fileURLToPath(new URL('../golden/llama-tied', import.meta.url));
const model = join(golden, 'model');
const rows = join(golden, 'rows.jsonl');
const limit = 60_000;

let folder: string;
let dataDir: string;
/** Keeps the engine alive between the calls of this file. */
let client: HostClient;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-cli-'));
  dataDir = join(folder, 'data');
  client = await connectHost(dataDir);
}, limit);
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
}, limit);

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
function start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [cli, '--data-dir', dataDir, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((done) => child.on('close', (status) => done({ status, stdout, stderr })));
  return { child, ended };
}
const lowrank = (...args: string[]) => start(args).ended;
const trainArgs = (out: string, ...more: string[]) => ['train', '--model', model, '--data', rows, '--out', out, ...more];
/** Far more steps than any test waits for. */
const long = ['--set', 'maxSteps=200000', '--set', 'batchSize=1', '--set', 'saveEvery=5', '--set', 'evalEvery=0'];
const metricsOf = (out: string) =>
  existsSync(join(out, 'metrics.jsonl'))
    ? readFileSync(join(out, 'metrics.jsonl'), 'utf8')
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line) as { step: number; loss: number })
    : [];
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((done) => setTimeout(done, 50));
}

test(
  'a training leaves an adapter, its measures are the reference’s, and the run is in the store',
  async () => {
    const out = join(folder, 'first');
    const adapter = join(golden, 'adapter');
    const recipe = join(golden, 'recipe.json');
    const { status, stdout } = await lowrank(...trainArgs(out, '--adapter', adapter, '--recipe', recipe, '--json'));
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ out, steps: 4 });
    expect(readdirSync(join(out, 'adapter')).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as { step_losses: number[] };
    metricsOf(out).forEach(({ loss }, i) => expect(loss).toBeCloseTo(expected.step_losses[i]!, 4));

    const shown = await lowrank('runs', 'show', 'first', '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ state: 'done', step: 4, out, recipe: { batchSize: 2 } });
    const again = await lowrank(...trainArgs(out));
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('folder-not-empty');
  },
  limit,
);

test(
  'Ctrl-C saves a checkpoint and exits 130; --resume goes on behind it',
  async () => {
    const out = join(folder, 'stopped');
    const { child, ended } = start(trainArgs(out, ...long));
    await until(() => metricsOf(out).length > 3);
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    const [newest] = readdirSync(join(out, 'checkpoints')).sort().reverse();
    expect(newest).toBeDefined();
    const steps = metricsOf(out).length;
    const resumed = await lowrank(...trainArgs(out, '--resume', '--set', `maxSteps=${steps + 3}`, '--json'));
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: steps + 3 });
    expect(metricsOf(out).map(({ step }) => step)).toEqual(Array.from({ length: steps + 3 }, (_, i) => i + 1));
  },
  limit,
);

test(
  'killed outright, the run is interrupted, its process is gone, and --resume goes on',
  async () => {
    const out = join(folder, 'killed');
    const { child, ended } = start(trainArgs(out, ...long));
    await until(() => metricsOf(out).length > 12);
    child.kill('SIGKILL');
    await ended;
    const state = async () => (await client.request('runs.list', {})).find((run) => run.out === out)?.state;
    while ((await state()) === 'running') await new Promise((done) => setTimeout(done, 50));
    expect(await state()).toBe('interrupted');
    const steps = metricsOf(out).length;
    const resumed = await lowrank(...trainArgs(out, '--resume', '--set', `maxSteps=${steps + 1}`, '--json'));
    expect(resumed.stderr).toMatch(/Going on from the checkpoint of step/);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: steps + 1 });
  },
  limit,
);

/** Bad input: what is given, and the Problem it must be. */
const bad: readonly (readonly [name: string, code: string, args: (own: string) => string[]])[] = [
  ['missing model', 'file-missing', (own) => ['inspect', join(own, 'nothing')]],
  ['missing data', 'file-missing', (own) => trainArgs(join(own, 'out'), '--data', join(own, 'nothing.jsonl'))],
  ['truncated weights', 'file-damaged', (own) => ['inspect', damagedModel(own)]],
  ['config that is not JSON', 'config-invalid', (own) => ['inspect', modelWithConfig(own, '{"model_type":')]],
  ['unknown family', 'model-unsupported', (own) => ['inspect', modelWithConfig(own, '{"model_type": "rwkv9"}')]],
  ['bad line', 'data-invalid', (own) => withRows(own, '{"input_ids": [1, 2, 3]}\n{"input_ids": [1,')],
  ['token out of range', 'token-out-of-range', (own) => withRows(own, '{"input_ids": [1, 2, 4096]}')],
  ['nothing to train on', 'nothing-to-train', (own) => withRows(own, '{"input_ids": [1, 2], "labels": [-100, -100]}')],
  ['unknown recipe key', 'recipe-invalid', (own) => trainArgs(join(own, 'out'), '--set', 'lerningRate=1')],
  ['file in the way', 'folder-not-empty', (own) => trainArgs(withText(join(own, 'taken'), 'x'))],
  ['nothing to resume', 'checkpoint-missing', (own) => trainArgs(join(own, 'out'), '--resume')],
  ['unusable device', 'device-unavailable', (own) => trainArgs(join(own, 'out'), '--device', 'cuda')],
];
test.each(bad)(
  '%s is %s: exit 1, one JSON problem, no stack, nothing left behind',
  async (name, code, args) => {
    const own = join(folder, name.replaceAll(' ', '-'));
    mkdirSync(own);
    const { status, stdout, stderr } = await lowrank(...args(own), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ problem: { code } });
    expect(status).toBe(1);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(existsSync(join(own, 'out', 'adapter'))).toBe(false);
  },
  limit,
);

test(
  'wrong usage exits 2 and says what is known',
  async () => {
    expect(await lowrank('trian')).toMatchObject({ status: 2, stderr: expect.stringContaining("'train'") as string });
    expect(await lowrank('train', '--modle', 'x')).toMatchObject({ status: 2, stdout: '' });
    expect(await lowrank('train')).toMatchObject({ status: 2, stderr: expect.stringContaining('--model') as string });
    const unknownKey = await lowrank(...trainArgs(join(folder, 'x'), '--set', 'lerningRate=1'));
    expect(unknownKey.stderr).toContain("'learningRate'");
  },
  limit,
);

test(
  'two clients that start at once meet at one engine',
  async () => {
    const other = join(folder, 'other');
    const clients = await Promise.all([1, 2, 3].map(() => connectHost(other)));
    await clients[0]!.request('projects.create', { name: 'One' });
    for (const each of clients) expect(await each.request('projects.list', undefined)).toHaveLength(1);
    for (const each of clients) each.close();
  },
  limit,
);

function withText(path: string, text: string): string {
  writeFileSync(path, text);
  return path;
}
function withRows(own: string, text: string): string[] {
  return ['train', '--model', model, '--data', withText(join(own, 'rows.jsonl'), text), '--out', join(own, 'out')];
}
function damagedModel(own: string): string {
  copyFileSync(join(model, 'config.json'), join(own, 'config.json'));
  copyFileSync(join(model, 'model.safetensors'), join(own, 'model.safetensors'));
  truncateSync(join(own, 'model.safetensors'), 5000);
  return own;
}
function modelWithConfig(own: string, text: string): string {
  copyFileSync(join(model, 'model.safetensors'), join(own, 'model.safetensors'));
  withText(join(own, 'config.json'), text);
  return own;
}
