/**
 * A training on WebGPU, in its own job process, is compared with the same one on the processor. The GPU is a software Vulkan,
 * Electron's.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DeviceMeasure, JobMessage, JobSpec, MetricRow, StepMetrics } from '../contract.ts';
import type { RecipeInput } from '../recipe.ts';
import { readAdapter } from '../adapters/folder.ts';
import { openModel } from '../models/open.ts';
import type { RunRecord } from './run-folder.ts';
import { softwareGpu } from '../testing/software-gpu.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'webgpu-'));
afterAll(() => rmSync(work, { recursive: true }));
const gpu = softwareGpu();

/** Runs the job in a process of its own and answers its result. */
function run(spec: JobSpec): Promise<unknown> {
  const child = fork(join(import.meta.dirname, 'run-job.ts'), {
    env: { ...process.env, ...('environment' in gpu ? gpu.environment : {}) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    let problem = '';
    child.on('message', (message: JobMessage) => {
      if (message.type === 'problem') problem = message.problem.message;
      if (message.type === 'done') resolve(message.result);
    });
    // After the last message.
    child.on('disconnect', () => reject(new Error(problem || 'ended without a word')));
    child.send({ type: 'start', spec });
  });
}

async function train(provider: 'cpu' | 'webgpu', measured: DeviceMeasure | null): Promise<string> {
  const out = join(work, provider);
  await run({
    kind: 'train',
    model: { path: join(golden, 'model') },
    data: { paths: [join(golden, 'rows.jsonl')], evalPaths: [join(golden, 'rows.jsonl')] },
    adapterPath: join(golden, 'adapter'),
    recipe: { ...(JSON.parse(readFileSync(join(golden, 'recipe.json'), 'utf8')) as RecipeInput), evalEvery: 4 },
    out,
    device: provider,
    devices: [{ provider, usable: true, name: provider, reason: null, measured }],
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  });
  return out;
}

function metrics(out: string): MetricRow[] {
  return readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRow);
}

const full = process.env['LOWRANK_TEST_FULL'] === '1';
const skipped = 'missing' in gpu ? ` (${gpu.missing})` : '';
test.skipIf(skipped !== '')(
  `WebGPU passes its trial${full ? ', and a training there is the processor’s' : ''}${skipped}`,
  { timeout: 900_000 },
  async () => {
    const subject = { model: { path: join(golden, 'model') }, adapterPath: join(golden, 'adapter'), recipe: {} };
    const measured = (await run({ kind: 'trial', provider: 'webgpu', subject, cacheDir: work })) as DeviceMeasure;
    expect(measured.difference).toBeLessThan(1e-4);
    expect(measured.gflops).toBeGreaterThan(0);
    // The trial has the loss and every gradient of a step; a training compiles the same shaders once more, for a minute in software.
    if (!full) return;
    const [processor, accelerator] = [await train('cpu', null), await train('webgpu', measured)];
    const { device } = JSON.parse(readFileSync(join(accelerator, 'run.json'), 'utf8')) as RunRecord;
    expect(device.provider).toBe('webgpu');

    const expected = metrics(processor);
    const actual = metrics(accelerator);
    expect(actual.length).toBe(expected.length);
    expected.forEach((row, i) => {
      const other = actual[i]!;
      if ('evalLoss' in row) return expect(Math.abs((other as typeof row).evalLoss - row.evalLoss)).toBeLessThan(1e-4);
      const { loss, gradientNorm } = other as StepMetrics;
      expect(Math.abs(loss - row.loss), `loss of step ${row.step}`).toBeLessThan(1e-4);
      expect(Math.abs(gradientNorm / row.gradientNorm - 1), `gradient norm of step ${row.step}`).toBeLessThan(1e-4);
    });
    const model = openModel(join(golden, 'model'));
    const [a, b] = [processor, accelerator].map((out) => readAdapter(join(out, 'adapter'), model).parameters);
    a!.forEach((value, i) => expect(Math.abs(b![i]! - value)).toBeLessThan(1e-4));
  },
);
