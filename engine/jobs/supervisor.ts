/** Starts job processes and watches them: their messages, their answers, how they end. The way to make a process is handed in. */
import { randomUUID } from 'node:crypto';
import type { JobCommand, JobMessage, JobRequest, JobSpec } from '../contract.ts';
import { Problem } from '../problem.ts';

/** A process that speaks `JobCommand` and `JobMessage`. */
export interface JobProcess {
  readonly pid: number | undefined;
  send(command: JobCommand): void;
  onMessage(listener: (message: JobMessage) => void): void;
  /** Called once, when the process is gone. */
  onExit(listener: (code: number | null, signal: string | null) => void): void;
  kill(): void;
}
export type SpawnJob = (kind: JobSpec['kind']) => JobProcess;

export interface JobOptions {
  readonly onMessage?: (message: JobMessage) => void;
  /** Ends the job when it fires: whoever asked has gone away. */
  readonly signal?: AbortSignal;
}

/** What a job nobody waits for any more may take to remove what it has half written. */
const secondsToTidy = 10;

export class Job {
  readonly id = randomUUID();
  readonly spec: JobSpec;
  /** The job's result; rejects with a Problem. Settles only when the process is gone, so its files are free by then. */
  readonly finished: Promise<unknown>;
  readonly #process: JobProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (problem: Problem) => void }>();
  #lastRequest = 0;
  #outcome: { result: unknown } | { problem: Problem } | null = null;
  #stopAsked = false;
  #ended = false;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(spec: JobSpec, process: JobProcess, options: JobOptions) {
    this.spec = spec;
    this.#process = process;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.finished = promise;
    // A job nobody waits for may fail without taking the host down.
    promise.catch(() => {});
    process.onMessage((message) => this.#receive(message, options));
    process.onExit((code, signal) => {
      this.#ended = true;
      clearTimeout(this.#killTimer);
      const outcome = this.#outcome ?? { problem: this.#stopAsked ? stopped() : crashed(spec.kind, code, signal) };
      const problem = 'problem' in outcome ? outcome.problem : new Problem('stopped', 'The job has ended.', 'Ask again.');
      for (const waiting of this.#waiting.values()) waiting.reject(problem);
      this.#waiting.clear();
      if ('problem' in outcome) reject(outcome.problem);
      else resolve(outcome.result);
    });
    process.send({ type: 'start', spec });
    const gone = () => this.stop(secondsToTidy);
    if (options.signal?.aborted) gone();
    else options.signal?.addEventListener('abort', gone, { once: true });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** A stop or kill was asked for, so however it ends it was not by itself. */
  get stopAsked(): boolean {
    return this.#stopAsked;
  }

  /** Asks a long-lived job. Past `limitSeconds` the job is killed: whatever it does, it will not answer. */
  async request(request: JobRequest, limitSeconds: number | null = null): Promise<unknown> {
    if (this.#ended) throw new Problem('stopped', 'The job has ended.', 'Ask again.');
    const id = ++this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    const timer =
      limitSeconds === null
        ? undefined
        : setTimeout(() => {
            reject(
              new Problem(
                'template-failed',
                `Preparing the rows took longer than ${limitSeconds} seconds and was given up.`,
                'The chat template or a row may be the cause; try fewer or shorter rows.',
              ),
            );
            this.kill();
          }, limitSeconds * 1000);
    this.#process.send({ type: 'request', id, request });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Asks for an end between two steps; no end within `killAfterSeconds`: kills. Files are published whole, so that is safe. */
  stop(killAfterSeconds: number): void {
    if (this.#ended) return;
    this.#stopAsked = true;
    this.#process.send({ type: 'stop' });
    this.#killTimer ??= setTimeout(() => this.#process.kill(), killAfterSeconds * 1000);
  }

  kill(): void {
    if (this.#ended) return;
    this.#stopAsked = true;
    this.#process.kill();
  }

  #receive(message: JobMessage, options: JobOptions): void {
    switch (message.type) {
      case 'answer': {
        const waiting = this.#waiting.get(message.id);
        if ('ok' in message.answer) waiting?.resolve(message.answer.ok);
        else waiting?.reject(Problem.fromValue(message.answer.problem));
        return;
      }
      case 'done':
        this.#outcome = { result: message.result };
        return;
      case 'problem':
        this.#outcome = { problem: Problem.fromValue(message.problem) };
        return;
      default:
        options.onMessage?.(message);
    }
  }
}

export class Supervisor {
  readonly #spawn: SpawnJob;
  readonly #jobs = new Set<Job>();

  constructor(spawn: SpawnJob) {
    this.#spawn = spawn;
  }

  start(spec: JobSpec, options: JobOptions = {}): Job {
    const job = new Job(spec, this.#spawn(spec.kind), options);
    this.#jobs.add(job);
    const remove = () => void this.#jobs.delete(job);
    job.finished.then(remove, remove);
    return job;
  }

  /** Runs a job to its end and answers its result. */
  async run<T>(spec: JobSpec, options: JobOptions = {}): Promise<T> {
    return (await this.start(spec, options).finished) as T;
  }

  get jobs(): ReadonlySet<Job> {
    return this.#jobs;
  }
}

function stopped(): Problem {
  return new Problem('stopped', 'It was stopped before it had ended.', 'Start it again.');
}

function crashed(kind: JobSpec['kind'], code: number | null, signal: string | null): Problem {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const training = kind === 'train';
  const hint =
    signal === 'SIGABRT' || signal === 'SIGSEGV'
      ? 'A library it stands on gave up, as on a tokenizer with a pattern that never ends: get the model again, and look at the data. The log in the data folder may say more.'
      : signal === 'SIGKILL'
        ? `The system may have ended it because memory ran out: close what else needs much of it, then ${training ? 'resume; or start a new run with a smaller batch or maximum length' : 'try again'}.`
        : `${training ? 'Resume it from its last checkpoint' : 'Try again'}. The log in the data folder may say more.`;
  return new Problem('job-crashed', `The ${training ? 'training' : kind} process ended unexpectedly (${how}).`, hint);
}
