import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { DataReport, ProblemValue } from '../contract.ts';
import { connectHost } from '../rpc.ts';
import { commandFolder, keepEngine, startCommand } from '../testing/command-line.ts';

const golden = fileURLToPath(new URL('../golden/llama-tied', import.meta.url));
const model = join(golden, 'model');
const rows = join(golden, 'rows.jsonl');
const tinyModel = fileURLToPath(new URL('../../resources/tiny/model', import.meta.url));
const limit = 300_000;

const { folder, dataDir } = commandFolder('cli');
const client = keepEngine(dataDir);
const start = (args: readonly string[]) => startCommand(dataDir, args);
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
  'names of PEFT and transformers are read in files, on the command line and on resuming; patterns are shown as they are',
  async () => {
    const [first, second] = ['peft-1', 'peft-2'].map((name) => join(folder, name)) as [string, string];
    const file = withText(join(folder, 'peft.json'), JSON.stringify({ r: 4, max_steps: 1, rank_pattern: { q_proj: 2 } }));
    expect(await lowrank(...trainArgs(first, '--recipe', file))).toMatchObject({ status: 0 });
    // What the command line says takes the place of the file, under whatever name.
    expect(await lowrank(...trainArgs(second, '--recipe', file, '--set', 'rank=8', '--set', 'maxSteps=1'))).toMatchObject({
      status: 0,
    });
    expect((await lowrank(...trainArgs(second, '--resume', '--set', 'max_steps=2', '--json'))).stdout).toContain('"steps":2');
    const twice = await lowrank(...trainArgs(join(folder, 'twice'), '--set', 'r=4', '--set', 'rank=4'));
    expect(twice).toMatchObject({ status: 1, stderr: expect.stringContaining("'r' and 'rank'") as string });
    expect((await lowrank('runs', 'show', 'peft-2')).stdout).toMatch(/rank +8\n/);
    expect((await lowrank('runs', 'show', 'peft-1')).stdout).toMatch(/rankPattern +q_proj:2\n/);

    const third = join(folder, 'peft-3');
    await lowrank(...trainArgs(third, '--recipe', file, '--set', 'rank_pattern=q_proj:3'));
    expect((await lowrank('runs', 'compare', 'peft-1', 'peft-3')).stdout).toMatch(/rankPattern +q_proj:2 +q_proj:3\n/);
  },
  limit,
);

test(
  'a recipe is made to fit, saying what each change costs, or nothing is begun',
  async () => {
    const out = join(folder, 'fitted');
    const args = trainArgs(out, '--set', 'maxSteps=1', '--set', 'packing=false');
    expect(await lowrank(...args, '--fit-memory', '1.5KB')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/at least .* more than/) as string,
    });
    expect((await lowrank(...args, '--fit-memory', 'much')).status).toBe(2);
    expect(existsSync(out)).toBe(false);
    const trained = await lowrank(...args, '--fit-memory', '100GiB', '--json');
    expect(trained.stderr).toContain('nothing needs to change');
    expect(JSON.parse(trained.stdout)).toMatchObject({ steps: 1 });
  },
  limit,
);

test(
  'paused from another terminal, the run ends with a checkpoint, and `runs resume` goes on',
  async () => {
    const out = join(folder, 'paused');
    const { ended } = start(trainArgs(out, ...long, '--name', 'pausable'));
    await until(() => metricsOf(out).length > 2);
    await lowrank('runs', 'pause', 'pausable');
    expect(await ended).toMatchObject({ status: 130, stderr: expect.stringContaining('Paused at step') as string });
    const steps = metricsOf(out).length;
    expect(JSON.parse((await lowrank('runs', 'show', 'pausable', '--json')).stdout)).toMatchObject({ state: 'paused' });
    await lowrank('runs', 'resume', 'pausable');
    await until(() => metricsOf(out).length > steps);
    await lowrank('runs', 'stop', 'pausable');
  },
  limit,
);

test(
  'the queue is listed, and a run has a place in it only while it waits',
  async () => {
    const out = join(folder, 'placeless');
    await lowrank(...trainArgs(out, '--name', 'placeless', '--set', 'maxSteps=1'));
    const queue = JSON.parse((await lowrank('runs', 'queue', '--json')).stdout) as readonly unknown[];
    expect(queue).not.toContainEqual(expect.objectContaining({ name: 'placeless' }));
    expect((await lowrank('runs', 'move', 'placeless', '1')).stderr).toContain(
      "The run 'placeless' is not waiting in the queue.",
    );
    expect((await lowrank('runs', 'move', 'placeless', 'first')).status).toBe(2);
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
    const state = async () => (await client().request('runs.list', {})).find((run) => run.out === out)?.state;
    while ((await state()) === 'running') await new Promise((done) => setTimeout(done, 50));
    expect(await state()).toBe('interrupted');
    const steps = metricsOf(out).length;
    const resumed = await lowrank(...trainArgs(out, '--resume', '--set', `maxSteps=${steps + 1}`, '--json'));
    expect(resumed.stderr).toMatch(/Continuing from the checkpoint of step/);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: steps + 1 });
  },
  limit,
);

test(
  'Ctrl-C while rows are read says that there is nothing to resume, promises no checkpoint, and leaves nothing',
  async () => {
    const [out, data] = [join(folder, 'unbegun'), join(folder, 'many.jsonl')];
    writeFileSync(data, '{"input_ids": [1, 2, 3]}\n'.repeat(400_000));
    const { child, ended } = start(['train', '--model', model, '--data', data, '--out', out]);
    await new Promise<void>((done) =>
      child.stderr!.on('data', (chunk: Buffer) => chunk.toString().includes('Reading the data') && done()),
    );
    child.kill('SIGINT');
    const { status, stderr } = await ended;
    expect(status).toBe(130);
    expect(stderr).toContain('before the first step');
    expect(stderr).toContain('No step has begun, so the run ends now.');
    expect(stderr).not.toMatch(/--resume|checkpoint|at step 0/);
    expect(existsSync(out)).toBe(false);
  },
  limit,
);

test(
  'says once that a data file is missing, and counts no steps of a run that has none yet',
  async () => {
    const missing = join(folder, 'missing.jsonl');
    const ended = await lowrank('train', '--model', model, '--data', missing, '--out', join(folder, 'of-nothing'));
    expect(ended.status).toBe(1);
    expect(ended.stderr.split(`There is no file '${missing}'`)).toHaveLength(2);
    expect((await lowrank('runs', 'list')).stdout).toMatch(/of-nothing +failed +- +- +-/);
    expect((await lowrank('runs', 'show', 'of-nothing')).stdout).toMatch(/^step +-$/m);
  },
  limit,
);

test.runIf(process.platform === 'linux')(
  'a second Ctrl-C ends at once, also when the job does not answer',
  async () => {
    const out = join(folder, 'impatient');
    const { child, ended } = start(trainArgs(out, ...long));
    await until(() => metricsOf(out).length > 0);
    const { pid } = JSON.parse(readFileSync(join(dataDir, 'host', 'lock'), 'utf8')) as { pid: number };
    const jobs = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    for (const job of jobs) process.kill(job, 'SIGSTOP');
    try {
      child.kill('SIGINT');
      // One key press may arrive twice; a second one counts after a second.
      await new Promise((done) => setTimeout(done, 1200));
      expect(child.exitCode).toBeNull();
      child.kill('SIGINT');
      // The job stays frozen: what ends here did not wait for it.
      expect((await ended).status).toBe(130);
    } finally {
      // By now the host has ended them; one that it has not must not stay frozen.
      for (const job of jobs)
        try {
          process.kill(job, 'SIGCONT');
        } catch (error) {
          expect((error as NodeJS.ErrnoException).code).toBe('ESRCH');
        }
    }
  },
  limit,
);

test(
  '--resume passes over a newest checkpoint that is cut off',
  async () => {
    const out = join(folder, 'damaged');
    const every = ['--set', 'saveEvery=2', '--set', 'keepCheckpoints=3'];
    expect((await lowrank(...trainArgs(out, '--set', 'maxSteps=6', ...every))).status).toBe(0);
    const whole = metricsOf(out).slice(4);
    truncateSync(join(out, 'checkpoints', 'step-000006', 'optimizer.safetensors'), 100);
    const resumed = await lowrank(...trainArgs(out, '--set', 'maxSteps=6', ...every, '--resume', '--json'));
    expect(resumed.stderr).toContain('Continuing from the checkpoint of step 4.');
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: 6 });
    const losses = (rows: typeof whole) => rows.map(({ step, loss }) => [step, loss]);
    expect(losses(metricsOf(out).slice(4))).toEqual(losses(whole));
  },
  limit,
);

/** Bad input: what is given, and the Problem it must be. */
const bad: readonly (readonly [name: string, code: string, args: (own: string) => string[]])[] = [
  ['missing model', 'file-missing', (own) => ['inspect', join(own, 'nothing')]],
  ['missing data', 'file-missing', (own) => trainArgs(join(own, 'out'), '--data', join(own, 'nothing.jsonl'))],
  ['truncated weights', 'file-damaged', (own) => ['inspect', damagedModel(own)]],
  ['empty weights', 'file-damaged', (own) => trainOn(modelWith(own, { weights: () => Buffer.alloc(0) }))],
  ['header larger than any', 'file-damaged', (own) => trainOn(modelWith(own, { weights: () => headerOf(200_000_000, '{}') }))],
  ['tensors that overlap', 'file-damaged', (own) => trainOn(modelWith(own, { header: overlap }))],
  ['missing tensor', 'tensor-missing', (own) => trainOn(modelWith(own, { header: renameOne }))],
  ['wrong shape', 'tensor-shape', (own) => trainOn(modelWith(own, { config: { intermediate_size: 96 } }))],
  ['absurd layers', 'config-invalid', (own) => trainOn(modelWith(own, { config: { num_hidden_layers: 1e9 } }))],
  ['absurd sizes', 'config-invalid', (own) => trainOn(modelWith(own, { config: { hidden_size: 1e15, vocab_size: 1e12 } }))],
  ['weights that are no numbers', 'loss-not-finite', (own) => trainOn(noNumbers(own))],
  ['evaluation of no numbers', 'loss-not-finite', (own) => ['evaluate', '--model', noNumbers(own), '--data', rows]],
  ['adapter of no numbers', 'loss-not-finite', (own) => ['evaluate', ...onRows, '--adapter', adapterOfNoNumbers(own)]],
  ['merging no numbers', 'loss-not-finite', (own) => mergeInto(own, noNumbers(own))],
  ['adapter of another base', 'adapter-mismatch', (own) => trainOn(tinyModel, own, '--adapter', join(golden, 'adapter'))],
  ['folder in the place of rows', 'file-unreadable', (own) => trainArgs(join(own, 'out'), '--data', own)],
  ['pipe in the place of rows', 'file-unreadable', (own) => trainArgs(join(own, 'out'), '--data', pipe(own))],
  ['link that leads to itself', 'file-missing', (own) => trainArgs(join(own, 'out'), '--data', link(own))],
  ['empty rows', 'data-empty', (own) => withRows(own, '')],
  ['rows in UTF-32', 'data-invalid', (own) => withRows(own, Buffer.from('\uFEFF\0{\0', 'utf16le'))],
  ['NUL bytes', 'data-invalid', (own) => withRows(own, '{"input_ids": [1, 2, 3]}\n\0\0\0')],
  ['one line of 200 MB', 'data-invalid', (own) => withRows(own, Buffer.alloc(200_000_000, 'a'))],
  ['rows nested without end', 'data-invalid', (own) => withRows(own, `{"input_ids": ${'['.repeat(1e5)}${']'.repeat(1e5)}}`)],
  ['folder nobody can write', 'folder-unwritable', () => trainArgs('/proc/lowrank/out')],
  ['template that never ends', 'template-failed', (own) => withTemplate(own, endless)],
  ['template that takes all memory', 'template-failed', (own) => withTemplate(own, doubling)],
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
    const given = args(own);
    const { status, stdout, stderr } = await lowrank(...given, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ problem: { code, hint: expect.stringMatching(/\S{3}/) as string } });
    expect(status).toBe(1);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(readdirSync(own).filter((entry) => entry === 'out' || entry.includes('partial'))).toEqual([]);
    rmSync(own, { recursive: true });
  },
  limit,
);

test(
  'wrong usage exits 2 and says what is known',
  async () => {
    expect(await lowrank('trian')).toMatchObject({ status: 2, stderr: expect.stringContaining("'train'") as string });
    expect(await lowrank('train', '--modle', 'x')).toMatchObject({ status: 2, stdout: '' });
    expect(await lowrank('train')).toMatchObject({ status: 2, stderr: expect.stringContaining('--model') as string });
    const negative = await lowrank('evaluate', '--max-tokens', '-3');
    expect(negative.stderr).toContain("use '--max-tokens=-XYZ'");
    expect(negative.stderr).not.toContain('\\n');
    expect(negative.stderr).toContain('lowrank evaluate --help');
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
function withRows(own: string, content: string | Buffer): string[] {
  writeFileSync(join(own, 'rows.jsonl'), content);
  return ['train', '--model', model, '--data', join(own, 'rows.jsonl'), '--out', join(own, 'out')];
}
function trainOn(path: string, own = path, ...more: string[]): string[] {
  return ['train', '--model', path, '--data', rows, '--out', join(own, 'out'), ...more];
}
function link(own: string): string {
  symlinkSync('itself', join(own, 'itself'));
  return join(own, 'itself');
}
function pipe(own: string): string {
  execFileSync('mkfifo', [join(own, 'pipe')]);
  return join(own, 'pipe');
}

type Header = Record<string, { shape: number[]; data_offsets: [number, number] }>;
interface Damage {
  readonly config?: Record<string, unknown>;
  readonly header?: (header: Header) => void;
  readonly weights?: (bytes: Buffer) => Buffer;
}
/** The golden model with something wrong in it. */
function modelWith(own: string, { config = {}, header = () => {}, weights = (bytes) => bytes }: Damage): string {
  const given = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(join(own, 'config.json'), JSON.stringify({ ...given, ...config }));
  const bytes = readFileSync(join(model, 'model.safetensors'));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const changed = JSON.parse(bytes.toString('utf8', 8, end)) as Header;
  header(changed);
  const json = JSON.stringify(changed);
  const whole = Buffer.concat([headerOf(Buffer.byteLength(json), json), bytes.subarray(end)]);
  writeFileSync(join(own, 'model.safetensors'), weights(whole));
  return own;
}
function headerOf(length: number, json: string): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(length));
  return Buffer.concat([size, Buffer.from(json)]);
}
function tensorNames(header: Header): string[] {
  return Object.keys(header).filter((name) => name !== '__metadata__');
}
function overlap(header: Header): void {
  const tensor = header[tensorNames(header)[1]!]!;
  tensor.data_offsets = [tensor.data_offsets[0] - 4, tensor.data_offsets[1] - 4];
}
function renameOne(header: Header): void {
  const name = tensorNames(header).find((entry) => entry.includes('q_proj'))!;
  header['model.unknown.weight'] = header[name]!;
  delete header[name];
}
function noNumbers(own: string): string {
  return modelWith(own, { weights: endWithNaN });
}
const onRows = ['--model', model, '--data', rows];
function adapterOfNoNumbers(own: string): string {
  cpSync(join(golden, 'adapter'), own, { recursive: true });
  const path = join(own, 'adapter_model.safetensors');
  writeFileSync(path, endWithNaN(readFileSync(path)));
  return own;
}
function mergeInto(own: string, path: string): string[] {
  return ['merge', '--model', path, '--adapter', join(golden, 'adapter'), '--out', join(own, 'out')];
}
function endWithNaN(bytes: Buffer): Buffer {
  bytes.writeFloatLE(NaN, bytes.length - 4);
  return bytes;
}

const endless = '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}';
const doubling = '{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}';
/** A conversation through the tiny model with another chat template. */
function withTemplate(own: string, template: string): string[] {
  cpSync(tinyModel, own, { recursive: true });
  writeFileSync(join(own, 'chat_template.jinja'), template);
  const messages = ['user', 'assistant'].map((role) => ({ role, content: 'yes' }));
  writeFileSync(join(own, 'rows.jsonl'), JSON.stringify({ messages }));
  return ['train', '--model', own, '--data', join(own, 'rows.jsonl'), '--out', join(own, 'out')];
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

test(
  'rows are shown as on the day that is asked for, and what a run leaves out is said',
  async () => {
    const dated = join(folder, 'dated');
    cpSync(tinyModel, dated, { recursive: true });
    writeFileSync(join(dated, 'chat_template.jinja'), '{{ strftime_now("%d %b %Y") }}{{ messages[1].content }}');
    const file = join(folder, 'dated.jsonl');
    const messages = ['user', 'assistant'].map((role) => ({ role, content: 'Well' }));
    writeFileSync(file, `${JSON.stringify({ messages })}\n`.repeat(3));
    const render = (date: string) => lowrank('data', 'render', '--model', dated, '--data', file, '--date', date);
    expect((await render('2026-05-06')).stdout).toContain('06 May 2026Well');
    const wrong = await render('6 May');
    expect(wrong).toMatchObject({ status: 1 });
    expect(wrong.stderr).toContain("'6 May' is no day");

    const short = ['--model', dated, '--data', file, '--out', join(folder, 'short'), '--set', 'epochs=1'];
    const trained = await lowrank('train', ...short);
    expect(trained.stderr).toContain('Nothing will be learned');
    expect(trained.status).toBe(0);

    const long = join(folder, 'long.jsonl');
    writeFileSync(long, `${JSON.stringify({ input_ids: Array.from({ length: 200 }, (_, i) => i % 40) })}\n`);
    const gpt2 = ['--model', join(golden, '../gpt2/model'), '--data', long];
    const evaluated = await lowrank('evaluate', ...gpt2);
    expect(evaluated.stderr).toContain('row-too-long');
    expect(evaluated.stderr).toContain('long.jsonl, line 1: the row has 200 tokens, but the model has only 128 positions');
    const checked = await lowrank('data', 'check', ...gpt2, '--eval', long);
    expect(checked.stdout).toContain('1 row in both training and evaluation');
    expect(checked.stderr).toContain('1 of 1 rows are longer than 128 tokens');
    expect(checked.stderr).toContain('The model has no more positions');
  },
  limit,
);

test('data check reports in one document with what is wrong, also when it refuses the rows', { timeout: limit }, async () => {
  const check = async (name: string, lines: readonly object[]) => {
    const path = join(folder, `${name}.jsonl`);
    writeFileSync(path, lines.map((line) => JSON.stringify(line)).join('\n'));
    const { status, stdout, stderr } = await lowrank(
      'data',
      'check',
      '--model',
      model,
      '--data',
      path,
      '--max-length',
      '100',
      '--json',
    );
    return { status, stderr, report: JSON.parse(stdout) as Partial<DataReport> & { problem?: ProblemValue } };
  };
  const good = { input_ids: [1, 2, 3] };
  const blocked = await check('blocked', [good, { input_ids: [1, 2, 5000] }]);
  expect(blocked).toMatchObject({ status: 1, report: { rows: 2, tokens: 3, problem: { code: 'data-invalid' } } });
  expect(blocked.report.checks).toContainEqual(
    expect.objectContaining({ severity: 'blocking', title: '1 row cannot be used' }),
  );
  expect(blocked.stderr).toContain('data-invalid');
  const long = await check('long', [good, { input_ids: Array.from({ length: 200 }, () => 5) }]);
  expect(long).toMatchObject({ status: 1, report: { rows: 2, truncatedRows: 1, problem: { code: 'row-too-long' } } });
  const sound = await check('sound', [good, { input_ids: [4, 5] }]);
  expect(sound).toMatchObject({ status: 0, report: { rows: 2, truncatedRows: 0 } });
  expect(sound.report.problem).toBeUndefined();
});

test(
  'data stats ends as data check does, and rows of the evaluation that are nearly trained on are told',
  { timeout: limit },
  async () => {
    const tiny = fileURLToPath(new URL('../../resources/tiny/model', import.meta.url));
    const answer = (end: string) => `${[...Array(60).keys()].map((i) => `word${i}`).join(' ')} ${end}`;
    const rows = (name: string, completions: readonly string[]): string =>
      withText(
        join(folder, name),
        completions.map((completion) => JSON.stringify({ prompt: 'Say it.', completion })).join('\n'),
      );
    const data = rows('leaking.jsonl', [answer('one'), 'short', 'other']);
    const held = rows('leaked.jsonl', [answer('two'), 'new']);
    expect(
      await lowrank('data', 'stats', '--model', tiny, '--data', rows('empty-answer.jsonl', ['a', '']), '--json'),
    ).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('"code":"data-invalid"') as string,
      stderr: expect.stringContaining('1 row cannot be used') as string,
    });
    expect(await lowrank('data', 'stats', '--model', tiny, '--data', data)).toMatchObject({ status: 0 });

    const checked = await lowrank('data', 'check', '--model', tiny, '--data', data, '--eval', held);
    expect(checked.stdout).toContain('1 row nearly the same in training and evaluation');
    const out = join(folder, 'leaks');
    const trained = await lowrank(
      'train',
      '--model',
      tiny,
      '--data',
      data,
      '--eval',
      held,
      '--out',
      out,
      '--set',
      'maxSteps=1',
    );
    expect(trained.stdout + trained.stderr).toContain('1 of 2 evaluation rows are nearly the same as training rows');
    expect(trained.stdout + trained.stderr).not.toContain('are also training rows');
  },
);

test(
  'rows are split into files and converted; a run holds rows of its one file back and goes on with the same',
  async () => {
    const given = JSON.stringify([...Array(20).keys()].map((i) => ({ input_ids: [1, 5 + i, 3], from: `c${i % 5}` })));
    const file = withText(join(folder, 'whole.json'), given);
    const out = join(folder, 'split');
    const split = ['data', 'split', '--data', file, '--fraction', '0.2', '--seed', '7', '--out', out];
    expect(JSON.parse((await lowrank(...split, '--json')).stdout)).toMatchObject({ train: { rows: 16 }, eval: { rows: 4 } });
    const lines = (name: string) => readFileSync(join(out, name), 'utf8').trimEnd().split('\n');
    const [train, held] = [lines('train.jsonl'), lines('eval.jsonl')];
    const whole = (JSON.parse(given) as object[]).map((row) => JSON.stringify(row));
    expect([...train, ...held].toSorted()).toEqual(whole.toSorted());
    expect(await lowrank(...split)).toMatchObject({ status: 1, stderr: expect.stringContaining('already exists') as string });
    expect((await lowrank(...split, '--by', 'from', '--replace')).status).toBe(0);
    expect(new Set(lines('eval.jsonl').map((line) => (JSON.parse(line) as { from: string }).from)).size).toBe(1);
    expect(await lowrank('data', 'split', '--data', file, '--fraction', '1', '--out', out)).toMatchObject({ status: 2 });

    const asParquet = [...split, '--format', 'parquet', '--json'];
    expect(JSON.parse((await lowrank(...asParquet)).stdout)).toMatchObject({ train: { rows: 16 }, eval: { rows: 4 } });
    const back = join(folder, 'back.jsonl');
    await lowrank('data', 'convert', '--data', join(out, 'eval.parquet'), '--out', back);
    expect(readFileSync(back, 'utf8').trimEnd().split('\n')).toEqual(held);
    const fromHub = await lowrank('data', 'convert', '--data', 'hub:org/name', '--out', back, '--replace');
    expect(fromHub).toMatchObject({ status: 1, stderr: expect.stringContaining('not fetched yet') as string });
    const asCsv = await lowrank('data', 'convert', '--data', file, '--out', join(folder, 'x.csv'));
    expect(asCsv).toMatchObject({ status: 1, stderr: expect.stringContaining('JSONL or Parquet') as string });

    const converted = join(folder, 'converted.jsonl');
    const twice = withText(
      join(folder, 'twice.json'),
      JSON.stringify([...(JSON.parse(given) as object[]), { input_ids: [1, 5, 3], from: 'c0' }]),
    );
    expect((await lowrank('data', 'convert', '--data', twice, '--deduplicate', '--out', converted)).status).toBe(0);
    expect(readFileSync(converted, 'utf8').trimEnd().split('\n')).toEqual(whole);
    const itself = await lowrank('data', 'convert', '--data', converted, '--out', converted, '--replace');
    expect(itself).toMatchObject({ status: 1, stderr: expect.stringContaining('The rows are read from') as string });

    const run = (name: string, ...more: string[]) => {
      const to = join(folder, name);
      const args = ['train', '--model', model, '--data', file, '--out', to, '--set', 'rank=2', '--set', 'evalEvery=1'];
      return lowrank(...args, '--eval-fraction', '0.2', '--eval-seed', '7', ...more, '--json');
    };
    const whole4 = await run('held-whole', '--set', 'maxSteps=4');
    expect(JSON.parse(whole4.stdout)).toMatchObject({ steps: 4, evalLoss: expect.any(Number) as number });
    await run('held-resumed', '--set', 'maxSteps=4', '--set', 'saveEvery=2');
    // As if it had been killed behind its second step: what came later is taken away.
    rmSync(join(folder, 'held-resumed', 'checkpoints', 'step-000004'), { recursive: true, force: true });
    const other = await run('held-resumed', '--resume', '--eval-seed', '8');
    expect(other).toMatchObject({ status: 1, stderr: expect.stringContaining('different tokens') as string });
    expect((await run('held-resumed', '--resume')).status).toBe(0);
    const adapterOf = (name: string) => readFileSync(join(folder, name, 'adapter', 'adapter_model.safetensors'));
    expect(adapterOf('held-resumed').equals(adapterOf('held-whole'))).toBe(true);
  },
  limit,
);

test('several sets are mixed, and the evaluation says the loss of each', async () => {
  const lines = readFileSync(rows, 'utf8').trim().split('\n');
  const file = (name: string, of: readonly string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, of.map((line) => `${line}\n`).join(''));
    return path;
  };
  const [a, b, ofA, ofB] = [
    file('mix=1.jsonl', lines.slice(0, 6)),
    file('other.jsonl', lines.slice(6, 12)),
    file('of-a.jsonl', lines.slice(12, 14)),
    file('of-b.jsonl', lines.slice(14)),
  ];
  const mix = ['--mix', `${a}=1.5,eval=${ofA}`, `${b},most=2`, '--mix-seed', '4'];
  const stats = await lowrank('data', 'stats', '--model', model, ...mix, '--json');
  expect(JSON.parse(stats.stdout)).toMatchObject({
    rows: 11,
    parts: [
      { name: 'mix=1', rows: 9 },
      { name: 'other', rows: 2 },
    ],
  });
  const converted = join(folder, 'mixed.jsonl');
  expect((await lowrank('data', 'convert', ...mix, '--out', converted)).status).toBe(0);
  expect(readFileSync(converted, 'utf8').trim().split('\n')).toHaveLength(11);
  const out = join(folder, 'mixed');
  const trained = await lowrank('train', '--model', model, ...mix, '--eval', ofB, '--out', out, '--set', 'maxSteps=2');
  expect(trained.status, trained.stderr).toBe(0);
  expect(trained.stdout).toMatch(/[\d.]+ on mix=1\n\s+[\d.]+ on of-b/);
  const metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  expect(JSON.parse(metrics.at(-1)!)).toMatchObject({
    measures: { 'loss/mix=1': expect.any(Number) as number, 'loss/of-b': expect.any(Number) as number },
  });
  const compared = await lowrank('runs', 'compare', 'mixed', 'mixed');
  expect(compared.stdout).toContain('eval loss, of-b');
  for (const [wrong, what] of [
    [['--mix', `${a},most=0`], '--mix takes a file'],
    [['--mix', a, '--data', b], 'either --data or --mix'],
    [['--mix-seed', '1', '--data', b], '--mix-seed needs --mix'],
    [['--mix', `${a}=0`], 'No part of the mix is trained on'],
  ] as const) {
    const refused = await lowrank('data', 'stats', '--model', model, ...wrong);
    expect(refused.stderr).toContain(what);
    expect(refused.status).not.toBe(0);
  }
}, 300_000);
