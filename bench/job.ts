/** Runs jobs as the engine host does, each in a process of its own, and watches their memory. */
import { fork, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GenerateResult, GenerateSettings, JobCommand, JobMessage, JobSpec, StepMetrics } from '../engine/contract.ts';
import { readNews } from '../engine/jobs/run-news.ts';

const millisecondsBetweenLooks = 50;

/** Measures a job from the start of its process to its end. */
class Job {
  readonly started = performance.now();
  readonly #process: ChildProcess;
  readonly #watch: NodeJS.Timeout;
  readonly #done = Promise.withResolvers<void>();
  #peak: number | null = null;

  constructor(spec: Extract<JobSpec, { kind: 'train' | 'chat' }>, onMessage: (message: JobMessage) => void) {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const env = { ...process.env, NODE_COMPILE_CACHE: join(spec.cacheDir, 'code') };
    this.#process = fork(join(import.meta.dirname, '../engine/jobs/run-job.ts'), { stdio: [...stdio], env });
    const { pid } = this.#process;
    this.#watch = setInterval(() => {
      const now = treeMemory(pid!);
      if (now !== null) this.#peak = Math.max(this.#peak ?? 0, now);
    }, millisecondsBetweenLooks);
    this.#process.on('message', (message: JobMessage) => {
      onMessage(message);
      if (message.type === 'problem' && message.problem.code === 'stopped') this.#done.resolve();
      else if (message.type === 'problem') this.#done.reject(new Error(`${message.problem.message} ${message.problem.hint}`));
      if (message.type === 'done') this.#done.resolve();
    });
    // After the last message.
    this.#process.on('disconnect', () => {
      clearInterval(this.#watch);
      this.#done.reject(new Error('The job ended without a result.'));
    });
    this.send({ type: 'start', spec });
  }

  send(command: JobCommand): void {
    this.#process.send(command);
  }

  /**
   * Returns the peak of resident bytes of the process and all below it, once it has ended, or null where /proc is not there.
   */
  async end(): Promise<number | null> {
    await this.#done.promise;
    return this.#peak;
  }
}

export interface Trained {
  readonly steps: readonly StepMetrics[];
  readonly peakMemory: number | null;
  /** Gives the seconds from the start of the process to the beginning of the first step. */
  readonly startSeconds: number;
}

/** Trains in a process of its own. After `stopAfter` steps the run is stopped: it saves a checkpoint and can be resumed. */
export async function train(spec: Extract<JobSpec, { kind: 'train' }>, stopAfter = Infinity): Promise<Trained> {
  const steps: StepMetrics[] = [];
  let startSeconds = 0;
  let position = { metrics: 0, events: 0 };
  let first: number | null = null;
  const job = new Job(spec, (message) => {
    if (message.type !== 'written') return;
    const news = readNews(spec.out, position);
    // Those before the checkpoint that it goes on from were made by an earlier job.
    first ??= news.events.findLast((event) => event.type === 'begin')?.step ?? null;
    position = news.position;
    const made = news.steps.filter(({ step }) => step > (first ?? 0));
    steps.push(...made);
    startSeconds ||=
      made.length === 0 ? 0 : (performance.now() - job.started) / 1000 - made.reduce((sum, step) => sum + step.seconds, 0);
    if (steps.length >= stopAfter) job.send({ type: 'stop' });
  });
  return { peakMemory: await job.end(), steps, startSeconds };
}

export interface Generated {
  readonly promptTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly peakMemory: number | null;
  /** Gives the seconds from the start of the process until the model is loaded. */
  readonly startSeconds: number;
}

/**
 * Generates greedy answers of `tokens` tokens to the same prompt, one after another. Speeds are the median of all but the
 * first.
 */
export async function generate(
  spec: Extract<JobSpec, { kind: 'chat' }>,
  prompt: readonly number[],
  tokens: number,
  rounds: number,
): Promise<Generated> {
  const settings: GenerateSettings = { maxTokens: tokens + 1, temperature: 0, topP: 1, topK: 0, seed: 0, ignoreStop: true };
  const ready = Promise.withResolvers<number>();
  const times: number[] = [];
  let answered: (result: GenerateResult) => void;
  let failed: (error: Error) => void = ready.reject;
  const job = new Job(spec, (message) => {
    if (message.type === 'ready') ready.resolve((performance.now() - job.started) / 1000);
    if (message.type === 'token') times.push(performance.now());
    if (message.type !== 'answer') return;
    if ('ok' in message.answer) answered(message.answer.ok as GenerateResult);
    else failed(new Error(message.answer.problem.message));
  });
  const ended = job.end();
  const startSeconds = await Promise.race([ready.promise, ended.then(() => 0)]);
  const speeds: { readonly prompt: number; readonly decode: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    times.length = 0;
    const asked = performance.now();
    await new Promise<GenerateResult>((resolve, reject) => {
      [answered, failed] = [resolve, reject];
      const request = {
        name: 'generate',
        adapters: [],
        prompt: { tokens: prompt },
        settings,
        streamId: String(round),
      } as const;
      job.send({ type: 'request', id: round, request });
    });
    const [first, last] = [times[0]!, times[tokens]!];
    speeds.push({ prompt: (1000 * prompt.length) / (first - asked), decode: (1000 * tokens) / (last - first) });
  }
  job.send({ type: 'stop' });
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  const counted = speeds.slice(1);
  return {
    promptTokensPerSecond: median(counted.map((speed) => speed.prompt)),
    decodeTokensPerSecond: median(counted.map((speed) => speed.decode)),
    peakMemory: await ended,
    startSeconds,
  };
}

/** Returns the resident bytes of a process and all its descendants, or null where /proc does not exist. */
function treeMemory(root: number): number | null {
  try {
    const children = new Map<number, number[]>();
    const resident = new Map<number, number>();
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const status = readStatus(Number(name));
      if (status === null) continue;
      resident.set(Number(name), status.resident);
      children.set(status.parent, [...(children.get(status.parent) ?? []), Number(name)]);
    }
    const sum = (pid: number): number =>
      (resident.get(pid) ?? 0) + (children.get(pid) ?? []).reduce((total, child) => total + sum(child), 0);
    return sum(root);
  } catch {
    return null;
  }
}

function readStatus(pid: number): { readonly parent: number; readonly resident: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0);
    return { parent: Number(/^PPid:\s+(\d+)/m.exec(text)?.[1]), resident: kilobytes * 1024 };
  } catch {
    // It has ended meanwhile.
    return null;
  }
}
