/**
 * Runs the job `trial`, which finds out whether a device computes a training step, whether it does so correctly, and how fast
 * it multiplies.
 */
import { join } from 'node:path';
import type { DeviceMeasure, JobSpec } from '../contract.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { multiplicationRate, trialFor, tryStep } from '../training/trial.ts';

export async function runTrial({ provider, subject, cacheDir }: Extract<JobSpec, { kind: 'trial' }>): Promise<DeviceMeasure> {
  const tools = { openSession, threads: cpuThreads(), folder: join(cacheDir, 'trial') };
  const difference = provider === 'cpu' ? 0 : await tryStep(trialFor(subject), provider, tools);
  return { difference, gflops: await multiplicationRate(provider, tools) };
}
