/** For tests: runs killed at random moments, and what is left of them against a run nobody touched. */
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { JobMessage, JobSpec, Sample } from '../contract.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { newestCheckpoint } from '../training/checkpoint.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const golden = join(import.meta.dirname, '../golden');

/** A small model with everything that is drawn at random: order of rows, dropout, noise. Checkpoints are most of the time it takes. */
function specOf(out: string, cacheDir: string): TrainSpec {
  return {
    kind: 'train',
    modelPath: join(golden, 'llama-tied/model'),
    dataPaths: [join(golden, 'llama-tied/rows.jsonl')],
    evalPaths: [join(golden, 'llama-tied/rows.jsonl')],
    adapterPath: null,
    recipe: {
      ...{ rank: 2, maxSteps: 40, batchSize: 2, gradientAccumulation: 2, evalEvery: 3, saveEvery: 2, learningRate: 0.01 },
      ...{ dropout: 0.2, neftuneNoiseAlpha: 5 },
    },
    out,
    device: 'auto',
    skipBadRows: false,
    resume: existsSync(join(out, 'run.json')),
    cacheDir,
    acceptFields: [],
  };
}

interface Ended {
  readonly killed: boolean;
  readonly seconds: number;
  readonly samples: readonly Sample[];
}

/** Runs the job in a process of its own, for at most so long. */
function session(spec: TrainSpec, killAfterMilliseconds: number): Promise<Ended> {
  const started = performance.now();
  const child = fork(join(import.meta.dirname, 'run-job.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const samples: Sample[] = [];
  let problem: string | null = null;
  child.on('message', (message: JobMessage) => {
    if (message.type === 'sample') samples.push(message.sample);
    if (message.type === 'problem') problem = `${message.problem.message} ${message.problem.hint}`;
  });
  child.send({ type: 'start', spec });
  const timer = killAfterMilliseconds === Infinity ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMilliseconds);
  return new Promise((resolve, reject) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (code === 0 || signal === 'SIGKILL')
        resolve({ killed: signal === 'SIGKILL', seconds: (performance.now() - started) / 1000, samples });
      else reject(new Error(problem ?? `the job ended with ${code ?? signal}`));
    });
  });
}

/** All that must be equal: adapter, moments, every number of every step and evaluation, samples; but no times. */
function left(out: string, samples: readonly Sample[]) {
  const checkpoint = newestCheckpoint(join(out, 'checkpoints')).whole!;
  const moments = join(checkpoint, 'optimizer.safetensors');
  const metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return {
    adapter: readFileSync(join(out, 'adapter/adapter_model.safetensors')).toString('base64'),
    checkpoint: readFileSync(join(checkpoint, 'adapter_model.safetensors')).toString('base64'),
    moments: [...readSafetensors(moments).tensors].map(([name, tensor]) => [
      name,
      [...readSafetensorsFloat32(moments, tensor)],
    ]),
    metrics: metrics.map((line) => ({ ...(JSON.parse(line) as object), seconds: 0, memory: 0 })),
    samples: samples.filter(({ step }) => step > 0),
  };
}

/** Kills a run `kills` times, each time at a random moment of a session, and compares what comes of it with a run nobody touched. */
export async function expectSameAfterKills(kills: number): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'kills-'));
  try {
    const cache = join(work, 'cache');
    const whole = await session(specOf(join(work, 'whole'), cache), Infinity);
    const expected = left(join(work, 'whole'), whole.samples);
    expect(expected.metrics.filter((row) => 'loss' in row)).toHaveLength(40);
    let run = 0;
    let out = join(work, 'run-0');
    for (let done = 0; done < kills || existsSync(out);) {
      // From its very first moment to somewhat beyond its end; the last session of the last run is let be.
      const moment = done < kills ? Math.random() * whole.seconds * 1000 : Infinity;
      const { killed, samples } = await session(specOf(out, cache), moment);
      if (killed) done += 1;
      else {
        expect(left(out, samples)).toEqual(expected);
        rmSync(out, { recursive: true });
        out = join(work, `run-${++run}`);
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
