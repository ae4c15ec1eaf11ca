/**
 * Starts job processes and watches their messages, their answers and how they end. The function that makes a process is passed
 * in.
 */
import { randomUUID } from 'node:crypto';
import type { JobCommand, JobMessage, JobRequest, JobSpec, Progress } from '../contract.ts';
import { Problem } from '../problem.ts';
import { cpuTimeOf } from '../runtime/memory.ts';
import { type At, crashed, hasEnded, hung, type ProcessEnd, silent, stopped } from './job-problems.ts';

/** Represents a process that speaks `JobCommand` and `JobMessage`. */
export interface JobProcess {
  readonly pid: number | undefined;
  send(command: JobCommand): void;
  onMessage(listener: (message: JobMessage) => void): void;
  /** Calls `listener` once, when the process is gone, with the end of its error output if that is known. */
  onExit(listener: (code: number | null, signal: string | null, lastWords?: string) => void): void;
  kill(): void;
}
export type SpawnJob = (spec: JobSpec) => JobProcess;

/** Holds the result of a job, or a function that makes its `Problem`, which may name the rows of the latest progress report. */
type Outcome = { readonly result: unknown } | { readonly problem: (at: At) => Problem };

export interface JobOptions {
  readonly onMessage?: (message: JobMessage) => void;
  /** Ends the job when it fires, because the asker has gone away. */
  readonly signal?: AbortSignal;
}

export interface RequestOptions {
  /** Gives the seconds without progress after which the job is killed, or null for no limit. */
  readonly silenceSeconds?: number | null;
  /** Tells the job, when it fires, that nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (problem: Problem) => void;
  readonly hear: (progress: Progress) => void;
  /** Returns the rows that were worked on last. */
  readonly at: () => At;
}

/** Gives the time in which a job that nobody waits for any more can remove half-written files. */
const secondsToTidy = 10;
/** Gives the time in which a stopped job must end while nothing is lost with it. */
const secondsToStop = 4;
/**
 * Gives the time in which a job that is stopped during steps must end, because it finishes the step in progress and its
 * checkpoint first. It is extended to `stepsToWait` times the slowest step.
 */
const secondsForStep = 120;
const stepsToWait = 10;
/**
 * Gives the time in which a process must be gone after its result, or after it was killed. After that the system is taken not
 * to release it.
 */
const secondsToLeave = 5;
/** Gives the time without a sign of life after which a process is taken to hang. It is noticed within 30 s. */
const silentSeconds = 25;
/**
 * Gives the longer time for a process that is alive and idle, where a hang is less certain: it may wait for an accelerator, and
 * only Linux tells that a process waits for the disk.
 */
const idleSecondsElsewhere = 600;

/** Says how long a job is waited for, in seconds. */
export interface Patience {
  /** Gives the time without any sign of life. */
  readonly silent: number;
  /** Gives the time with signs of life, but without computing, reading or writing. */
  readonly idle: number;
  /** Gives the time to be gone after the result, or after being killed. */
  readonly leave: number;
}

function patienceFor(spec: JobSpec): Patience {
  const isAccelerated =
    (spec.kind === 'trial' && spec.provider !== 'cpu') ||
    (spec.kind === 'train' && (spec.devices ?? []).some(({ provider, usable }) => usable && provider !== 'cpu'));
  const certain = process.platform === 'linux' && !isAccelerated;
  return { silent: silentSeconds, idle: certain ? silentSeconds : idleSecondsElsewhere, leave: secondsToLeave };
}

export class Job {
  readonly id = randomUUID();
  readonly spec: JobSpec;
  /**
   * Holds the job's result; rejects with a Problem. It settles only when the process is gone, so that its files are free by
   * then.
   */
  readonly finished: Promise<unknown>;
  readonly #process: JobProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastRequest = 0;
  #outcome: Outcome | null = null;
  #stopAsked = false;
  #ended = false;
  #killTimer: NodeJS.Timeout | undefined;
  #leaveTimer: NodeJS.Timeout | undefined;
  readonly #watch: NodeJS.Timeout;
  readonly #patience: Patience;
  /**
   * Holds the seconds of silence, counted rather than read off a clock: while a computer sleeps, or this process is busy,
   * nobody is silent.
   */
  #silentFor = 0;
  #cpu: string | null = null;
  #underway = false;
  #slowestStep = 0;
  /** Holds the rows that the job itself was at when it last reported progress; undefined once it has begun something else. */
  #at: At;
  #settle: (outcome: Outcome) => void = () => {};

  constructor(spec: JobSpec, process: JobProcess, options: JobOptions, patience = patienceFor(spec)) {
    this.spec = spec;
    this.#process = process;
    this.#patience = patience;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.finished = promise;
    // A job that nobody waits for may fail without ending the host.
    promise.catch(() => {});
    process.onMessage((message) => this.#receive(message, options));
    const gone = () => this.stop(secondsToTidy);
    this.#settle = (outcome) => {
      if (this.#ended) return;
      this.#ended = true;
      for (const timer of [this.#killTimer, this.#leaveTimer, this.#watch]) clearTimeout(timer);
      options.signal?.removeEventListener('abort', gone);
      const problem = 'problem' in outcome ? outcome.problem : hasEnded;
      for (const waiting of this.#waiting.values()) waiting.reject(problem(waiting.at()));
      this.#waiting.clear();
      if ('problem' in outcome) reject(outcome.problem(this.#at));
      else resolve(outcome.result);
    };
    process.onExit((code, signal, lastWords = '') => this.#settle(this.#outcome ?? this.#crash({ code, signal, lastWords })));
    this.#watch = setInterval(() => this.#look(), 1000).unref();
    process.send({ type: 'start', spec });
    if (options.signal?.aborted) gone();
    else options.signal?.addEventListener('abort', gone, { once: true });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Says whether training steps have begun. From then on a stop takes until the step in progress and its checkpoint are done. */
  get underway(): boolean {
    return this.#underway;
  }

  /**
   * Says whether the job can be asked. A job that has concluded or is to stop answers nothing more, even while its process
   * still exists.
   */
  get open(): boolean {
    return !this.#ended && !this.#stopAsked && this.#outcome === null;
  }

  /** Asks a long-lived job. When the job says nothing for `silenceSeconds` it is killed, because it will not answer. */
  async request(request: JobRequest, { silenceSeconds = null, signal, onProgress }: RequestOptions = {}): Promise<unknown> {
    if (this.#ended || this.#outcome !== null) throw hasEnded();
    if (signal?.aborted) throw stopped();
    const id = ++this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    let progress: Progress | null = null;
    const timer =
      silenceSeconds === null
        ? undefined
        : setTimeout(() => {
            reject(silent(silenceSeconds, progress?.at));
            this.kill();
          }, silenceSeconds * 1000);
    const hear = (heard: Progress) => {
      progress = heard;
      timer?.refresh();
      onProgress?.(heard);
    };
    this.#waiting.set(id, { resolve, reject, hear, at: () => progress?.at });
    const cancel = () => {
      this.#process.send({ type: 'cancel', id });
      reject(stopped());
    };
    signal?.addEventListener('abort', cancel, { once: true });
    this.#process.send({ type: 'request', id, request });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      this.#waiting.delete(id);
    }
  }

  /**
   * Asks the job to end. It ends at once while there is nothing to lose, and otherwise after the step in progress and its
   * checkpoint. If it does not end in time it is killed; that is safe, because files are published whole.
   */
  stop(killAfterSeconds = secondsToStop): void {
    if (this.#ended) return;
    this.#stopAsked = true;
    this.#process.send({ type: 'stop' });
    const seconds = this.#underway ? Math.max(secondsForStep, stepsToWait * this.#slowestStep) : killAfterSeconds;
    this.#killTimer ??= setTimeout(() => this.#kill(), seconds * 1000);
  }

  kill(): void {
    if (this.#ended) return;
    this.#stopAsked = true;
    this.#kill();
  }

  /**
   * Kills the process. Nobody can end a process that waits for a disk which does not answer, so the job then settles without
   * it.
   */
  #kill(): void {
    this.#process.kill();
    if (this.#ended) return;
    this.#leaveTimer ??= setTimeout(
      () => this.#settle(this.#outcome ?? this.#crash({ code: null, signal: 'SIGKILL', lastWords: '' })),
      this.#patience.leave * 1000,
    );
  }

  #crash(end: ProcessEnd): Outcome {
    return { problem: this.#stopAsked ? stopped : (at) => crashed(this.spec.kind, end, at) };
  }

  /** Looks once a second for a sign of life, and ends a process that gives none. */
  #look(): void {
    this.#silentFor += 1;
    // A process may be busy without its heartbeat getting through, for example on an overloaded machine.
    const cpu = this.pid === undefined ? null : cpuTimeOf(this.pid);
    if (cpu !== null && this.#cpu !== null && cpu !== this.#cpu) this.#silentFor = 0;
    this.#cpu = cpu;
    if (this.#silentFor >= this.#patience.silent) this.#hangs(this.#silentFor);
  }

  #hangs(seconds: number): void {
    if (this.#outcome === null && !this.#stopAsked) this.#outcome = { problem: (at) => hung(this.spec.kind, seconds, at) };
    this.#kill();
  }

  /** Records the result. The process has nothing left to do, so it is killed if it does not end by itself. */
  #concludes(outcome: Outcome): void {
    this.#outcome ??= outcome;
    this.#leaveTimer ??= setTimeout(() => {
      this.#leaveTimer = undefined;
      this.#kill();
    }, this.#patience.leave * 1000);
  }

  #receive(message: JobMessage, options: JobOptions): void {
    switch (message.type) {
      case 'heartbeat':
        this.#silentFor = 0;
        if (message.idleSeconds >= this.#patience.idle) this.#hangs(message.idleSeconds);
        return;
      case 'underway':
        this.#underway = true;
        this.#at = undefined;
        return;
      case 'answer': {
        const waiting = this.#waiting.get(message.id);
        if ('ok' in message.answer) waiting?.resolve(message.answer.ok);
        else waiting?.reject(Problem.fromValue(message.answer.problem));
        return;
      }
      case 'done':
        return this.#concludes({ result: message.result });
      case 'problem':
        return this.#concludes({ problem: () => Problem.fromValue(message.problem) });
      case 'written':
        this.#slowestStep = Math.max(this.#slowestStep, message.slowestStep);
        break;
      case 'progress':
        if (message.request === undefined) {
          this.#at = message.progress.at;
          break;
        }
        this.#waiting.get(message.request)?.hear(message.progress);
        return;
    }
    options.onMessage?.(message);
  }
}

/**
 * Limits the number of jobs. Each is a process with its own memory, and ordinary use of the studio comes nowhere near this
 * number.
 */
const mostJobs = 32;

export class Supervisor {
  readonly #spawn: SpawnJob;
  readonly #patience: Patience | undefined;
  readonly #jobs = new Set<Job>();

  /** Makes a supervisor. `patience` replaces that of the kind of job. */
  constructor(spawn: SpawnJob, patience?: Patience) {
    this.#spawn = spawn;
    this.#patience = patience;
  }

  /**
   * Starts a job. Throws a `Problem` when too many jobs are running; a training is started all the same, because there is one
   * at a time.
   */
  start(spec: JobSpec, options: JobOptions = {}): Job {
    if (this.#jobs.size >= mostJobs && spec.kind !== 'train')
      throw new Problem('not-allowed', `${mostJobs} jobs are already running.`, 'Wait until some of them have ended.');
    const job = new Job(spec, this.#spawn(spec), options, this.#patience);
    this.#jobs.add(job);
    const remove = () => void this.#jobs.delete(job);
    job.finished.then(remove, remove);
    return job;
  }

  /** Runs a job to its end and returns its result. */
  async run<T>(spec: JobSpec, options: JobOptions = {}): Promise<T> {
    return (await this.start(spec, options).finished) as T;
  }

  get jobs(): ReadonlySet<Job> {
    return this.#jobs;
  }
}
