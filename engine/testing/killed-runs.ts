/** Kills runs at random moments, and compares what is left of them with a run nobody touched. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { spawnJob } from '../jobs/spawn.ts';
import { Supervisor } from '../jobs/supervisor.ts';
import type { Problem } from '../problem.ts';
import { newestCheckpoint } from '../training/checkpoint.ts';
import { eventsOf } from './run-events.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const rows = Array.from({ length: 14 }, (_, i) => ({
  messages: [
    { role: 'user', content: `What is ${i} and ${i * i}?` },
    { role: 'assistant', content: `It is ${i + i * i}${i % 3 === 0 ? ', of course' : ''}.` },
  ],
}));

/**
 * Returns the spec of a small model with everything that a resumed run could get wrong: order of rows, dropout, noise, packs,
 * accumulation, rates, evaluation.
 */
function specOf(work: string, name: string): TrainSpec {
  const [data, out] = [join(work, 'rows.jsonl'), join(work, name)];
  return {
    kind: 'train',
    model: { path: join(import.meta.dirname, '../../resources/tiny/model') },
    data: { paths: [data], evalPaths: [data] },
    adapterPath: null,
    recipe: {
      ...{ rank: 2, maxSteps: 40, batchSize: 2, gradientAccumulation: 2, evalEvery: 3, saveEvery: 2, learningRate: 0.01 },
      ...{ dropout: 0.2, neftuneNoiseAlpha: 5, loraplusLrRatio: 4, packing: true },
    },
    out,
    device: 'auto',
    skipBadRows: false,
    resume: existsSync(join(out, 'run.json')),
    cacheDir: join(work, 'cache'),
  };
}

interface Ended {
  readonly killed: boolean;
  readonly seconds: number;
}

/** Runs the job in a process of its own, for at most so long. */
async function session(spec: TrainSpec, killAfterMilliseconds: number): Promise<Ended> {
  const started = performance.now();
  const job = new Supervisor((given) => spawnJob(given, spec.cacheDir)).start(spec);
  const timer = killAfterMilliseconds === Infinity ? undefined : setTimeout(() => job.kill(), killAfterMilliseconds);
  const problem = await job.finished.then(
    () => null,
    (error: Problem) => error,
  );
  clearTimeout(timer);
  if (problem !== null && problem.code !== 'stopped') throw problem;
  return { killed: problem !== null, seconds: (performance.now() - started) / 1000 };
}

const hashOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/**
 * Returns everything that must be equal: the adapter, the moments, every number of every step and evaluation, and the samples,
 * but no times.
 */
function left(out: string) {
  const checkpoint = newestCheckpoint(join(out, 'checkpoints')).whole!;
  const metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return {
    adapter: hashOf(join(out, 'adapter/adapter_model.safetensors')),
    checkpoint: hashOf(join(checkpoint, 'adapter_model.safetensors')),
    moments: hashOf(join(checkpoint, 'optimizer.safetensors')),
    metrics: metrics.map((line) => ({ ...(JSON.parse(line) as object), seconds: 0, memory: 0 })),
    samples: eventsOf(out, 'sample')
      .filter(({ sample }) => sample.step > 0)
      .map(({ sample }) => sample),
  };
}

/** Kills a run `kills` times, each time at a random moment of a session, and compares what comes of it with a run nobody touched. */
export async function expectSameAfterKills(kills: number): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'kills-'));
  try {
    writeFileSync(join(work, 'rows.jsonl'), rows.map((row) => JSON.stringify(row) + '\n').join(''));
    const whole = await session(specOf(work, 'whole'), Infinity);
    const expected = left(join(work, 'whole'));
    expect(expected.metrics.filter((row) => 'loss' in row)).toHaveLength(40);
    expect(expected.samples).not.toHaveLength(0);
    let run = 0;
    for (let done = 0; done < kills || existsSync(join(work, `run-${run}`));) {
      const out = join(work, `run-${run}`);
      // From its very first moment to somewhat beyond its end; the last session of the last run is let be.
      const moment = done < kills ? Math.random() * whole.seconds * 1000 : Infinity;
      const { killed } = await session(specOf(work, `run-${run}`), moment);
      if (killed) done += 1;
      else {
        expect(left(out)).toEqual(expected);
        rmSync(out, { recursive: true });
        run += 1;
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
