/** A training on WebGPU, in a job process of its own, against the same on the processor. The GPU is a software Vulkan, Electron's. */
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { JobMessage, JobSpec, MetricRow, StepMetrics } from '../contract.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { openModel } from '../models/open.ts';
import type { RunRecord } from './run-folder.ts';
import { softwareGpu } from './software-gpu.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'webgpu-'));
afterAll(() => rmSync(work, { recursive: true }));
const gpu = softwareGpu();

/** Runs the job in a process of its own. */
function train(device: 'cpu' | 'webgpu'): Promise<string> {
  const out = join(work, device);
  const found = { provider: device, usable: true, name: device, reason: null, measured: null };
  const spec: TrainSpec = {
    kind: 'train',
    modelPath: join(golden, 'model'),
    dataPaths: [join(golden, 'rows.jsonl')],
    evalPaths: [join(golden, 'rows.jsonl')],
    adapterPath: join(golden, 'adapter'),
    // Cases hold what they are given; an evaluation at either end.
    recipe: { ...(JSON.parse(readFileSync(join(golden, 'recipe.json'), 'utf8')) as object), evalEvery: 4 },
    out,
    device,
    devices: [found],
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  };
  const child = fork(join(import.meta.dirname, 'run-job.ts'), {
    env: { ...process.env, ...('environment' in gpu ? gpu.environment : {}) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    let problem = '';
    child.on('message', (message: JobMessage) => {
      if (message.type === 'problem') problem = message.problem.message;
    });
    child.on('exit', (code, signal) =>
      code === 0 ? resolve(out) : reject(new Error(problem || `ended with ${code ?? signal}`)),
    );
    child.send({ type: 'start', spec });
  });
}

function metrics(out: string): MetricRow[] {
  return readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRow);
}

test.skipIf('missing' in gpu)(
  `a training on WebGPU is the processor's${'missing' in gpu ? ` (${gpu.missing})` : ''}`,
  { timeout: 600_000 },
  async () => {
    const [processor, accelerator] = [await train('cpu'), await train('webgpu')];
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
    const { spec } = openModel(join(golden, 'model'));
    const [a, b] = [processor, accelerator].map((out) => readAdapter(join(out, 'adapter'), spec).parameters);
    a!.forEach((value, i) => expect(Math.abs(b![i]! - value)).toBeLessThan(1e-4));
    expect(existsSync(join(accelerator, 'checkpoints'))).toBe(true);
  },
);
