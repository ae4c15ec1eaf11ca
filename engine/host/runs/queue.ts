/**
 * The queue of runs: one trains at a time, the others wait in their order. It survives the host: what was in it goes on when the next one
 * starts, but for runs that belong to a client. Why a run that trained goes on too is said in decision 24.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterVersion, DeviceInfo, JobMessage, Run, RunState, TrainRequest, TrialSubject } from '../../contract.ts';
import { runContent } from '../../jobs/run-folder.ts';
import type { Job } from '../../jobs/supervisor.ts';
import { logError, Problem, toProblemValue, type ProblemValue } from '../../problem.ts';
import type { RecipeInput } from '../../recipe.ts';
import { processor } from '../../runtime/devices.ts';
import type { RunJob } from '../../store/runs.ts';
import type { AdapterRegistry } from '../adapters.ts';
import type { HostContext } from '../context.ts';
import type { Devices } from '../devices.ts';
import { type Library, requireAbsolute } from '../library.ts';
import { isAlive, processIdentity } from '../lock.ts';
import { mayPass } from '../unsaved.ts';
import { Intake } from './intake.ts';
import { type Ending, lineOf, requireEnded, type RunRegistry } from './registry.ts';
import { newRun, readRequest } from './request.ts';

/** Runs asked for by path alone gather here. */
const looseProject = 'Command line';

interface Active {
  readonly runId: string;
  /** What the person gave; a resumed run knows the rest from its folder. */
  readonly recipe: RecipeInput;
  readonly details: RunJob;
  /** Fires when the client the run belongs to goes away; null for runs that belong to nobody. */
  readonly owner: AbortSignal | null;
  readonly intake: Intake;
  readonly ended: PromiseWithResolvers<void>;
  /** Devices are being tried for it. */
  judging: boolean;
  /** Where it trained when an earlier host ended: the step of its last checkpoint. */
  left: number | null;
  job: Job | null;
  /** What it reported could not be stored. */
  unstored: ProblemValue | null;
  stop: 'stopped' | 'paused' | 'owner-gone' | null;
}

/** What the queue works with. */
export interface QueueParts {
  readonly registry: RunRegistry;
  readonly library: Library;
  readonly adapters: AdapterRegistry;
  readonly devices: Devices;
}

export class RunQueue {
  readonly #context: HostContext;
  readonly #registry: RunRegistry;
  readonly #library: Library;
  readonly #adapters: AdapterRegistry;
  readonly #devices: Devices;
  /** First the one that trains, then those that wait. */
  readonly #queue: Active[] = [];

  constructor(context: HostContext, { registry, library, adapters, devices }: QueueParts) {
    this.#context = context;
    this.#registry = registry;
    this.#library = library;
    this.#adapters = adapters;
    this.#devices = devices;
    this.#takeOver();
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  /** Takes over what a host left behind when it ended in the midst; nothing is begun and nothing that goes on is written. */
  #takeOver(): void {
    const { runs, queue, checkpoints } = this.#context.store;
    const left = new Map([...runs.inState('running'), ...runs.inState('queued')].map((one) => [one.run.id, one]));
    for (const { process: identity } of left.values())
      if (identity !== null && identity.started !== null && isAlive(identity)) {
        try {
          process.kill(identity.pid, 'SIGKILL');
        } catch {
          // It has just ended by itself.
        }
      }
    for (const { runId, recipe, job, continuedFrom } of queue.list()) {
      const run = left.get(runId)?.run;
      if (run === undefined) continue;
      const checkpoint = checkpoints.list(runId).at(-1)?.step ?? 0;
      if (run.state === 'running' && continuedFrom !== null && checkpoint <= continuedFrom) continue;
      left.delete(runId);
      this.#queue.push({ ...this.#waiting(runId, recipe, job, null), left: run.state === 'running' ? checkpoint : null });
    }
    for (const runId of left.keys())
      this.#registry.saveEnding(runId, endingOf('interrupted'), () => {
        queue.remove(runId);
        this.#context.store.log.add(runId, lineOf('The studio ended before the run had.'));
      });
  }

  /** Begins what was taken over. */
  goOn(): void {
    if (this.busy) this.#pump();
  }

  /** The runs that go on: first the one that trains, then those that wait. */
  get order(): string[] {
    return this.#queue.map(({ runId }) => runId);
  }

  /** Gives a run that waits the place `place` among those that wait, from 1. */
  move(id: string, place: number): string[] {
    const first = this.#queue[0];
    const begun = first !== undefined && (first.job !== null || first.judging) ? 1 : 0;
    const active = this.#queue.slice(begun).find(({ runId }) => runId === id);
    if (active === undefined)
      throw new Problem(
        'not-allowed',
        `The run '${this.#registry.get(id).name}' does not wait.`,
        'Only a run that waits has a place.',
      );
    const others = this.#queue.filter((one) => one !== active);
    others.splice(Math.min(begun + place - 1, others.length), 0, active);
    this.#context.store.transaction(() => this.#context.store.queue.arrange(others.map(({ runId }) => runId)));
    this.#queue.splice(0, Infinity, ...others);
    this.#tellOrder();
    return this.order;
  }

  #tellOrder(): void {
    this.#context.emit('queue.changed', this.order);
  }

  async start(request: TrainRequest, client: AbortSignal): Promise<Run> {
    const { store, dataDir } = this.#context;
    const owner = request.attached === true ? client : null;
    if (request.out !== undefined) requireAbsolute(request.out);
    const previous = request.resume === true && request.out !== undefined ? store.runs.byOut(request.out) : null;
    const asked = readRequest(request, store);
    await this.#freeFolder(request, previous);
    if (previous !== null) return this.#enqueue(previous.id, asked.given, asked.job, owner);

    const project =
      request.projectId !== undefined
        ? this.#library.project(request.projectId)
        : asked.model !== null
          ? this.#library.project(asked.model.projectId)
          : this.#library.projectNamed(looseProject);
    const siblings = store.runs.list(project.id).length;
    const run = newRun(request, asked, { projectId: project.id, siblings, dataDir });
    store.runs.insert(run, asked.job);
    this.#context.emit('list.changed', { projectId: project.id, list: 'runs' });
    return this.#enqueue(run.id, asked.given, asked.job, owner);
  }

  /** Refuses a folder somebody else uses or that holds something, unless the run in it goes on. */
  async #freeFolder({ out, resume }: TrainRequest, previous: Run | null): Promise<void> {
    if (out === undefined) return;
    for (const active of [...this.#queue]) {
      if (this.#registry.get(active.runId).out !== out) continue;
      // The client that started it has just been killed: its run is ending.
      if (active.owner?.aborted) await active.ended.promise;
      else throw new Problem('not-allowed', `A run is already training in ${out}.`, 'Stop it first, or choose another folder.');
    }
    if (resume === true) {
      if (previous !== null || existsSync(join(out, 'run.json'))) return;
      throw new Problem('checkpoint-missing', `There is no run in ${out} to go on with.`, 'Leave out --resume to start one.');
    }
    let content: string[] = [];
    try {
      content = runContent(out);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTDIR')
        throw new Problem('folder-not-empty', `${out} is a file.`, 'Choose the name of a new folder.', { cause: error });
      if (code !== 'ENOENT') throw error;
    }
    if (content.length > 0)
      throw new Problem(
        'folder-not-empty',
        `The folder ${out} is not empty.`,
        'Choose a new folder, or go on with the run in it (--resume).',
      );
  }

  resume(id: string): Run {
    const run = this.#registry.get(id);
    requireEnded(run);
    if (run.state === 'done') throw new Problem('not-allowed', `The run '${run.name}' is finished.`, 'Start a new one.');
    return this.#enqueue(id, {}, this.#context.store.runs.job(id)!, null);
  }

  #enqueue(runId: string, recipe: RecipeInput, details: RunJob, owner: AbortSignal | null): Run {
    this.#registry.requireEndStored(runId);
    const { store } = this.#context;
    store.transaction(() => {
      store.runs.update(runId, { state: 'queued', phase: 'Waiting for its turn', problem: null, finishedAt: null });
      if (owner === null) store.queue.add(runId, recipe, details);
    });
    const active = this.#waiting(runId, recipe, details, owner);
    this.#queue.push(active);
    this.#tellOrder();
    if (owner !== null) {
      const gone = () => this.#ownerGone(active);
      if (owner.aborted) queueMicrotask(gone);
      else owner.addEventListener('abort', gone, { once: true });
      void active.ended.promise.then(() => owner.removeEventListener('abort', gone));
    }
    this.#registry.tell(runId);
    this.#pump();
    return this.#registry.get(runId);
  }

  #waiting(runId: string, recipe: RecipeInput, details: RunJob, owner: AbortSignal | null): Active {
    return {
      ...{ runId, recipe, details, owner },
      intake: new Intake(this.#context, this.#registry, runId),
      ended: Promise.withResolvers<void>(),
      judging: false,
      left: null,
      job: null,
      stop: null,
      unstored: null,
    };
  }

  #ownerGone(active: Active): void {
    if (!this.#queue.includes(active)) return;
    active.stop ??= 'owner-gone';
    if (active.job === null) this.#end(active, 'interrupted', null);
    else active.job.kill();
  }

  stop(id: string, force: boolean): void {
    const active = this.#queue.find((candidate) => candidate.runId === id);
    if (active === undefined) {
      if (this.#registry.get(id).state !== 'paused') return;
      this.#registry.requireEndStored(id);
      this.#context.store.runs.update(id, { state: 'stopped' });
      this.#registry.tell(id);
      return;
    }
    this.#registry.log(
      id,
      force ? 'Stopped at once: what came after the last checkpoint is lost.' : 'A stop was asked for: a checkpoint first.',
    );
    if (force && active.job !== null) {
      active.stop = 'stopped';
      this.#stayEnded(id);
      active.job.kill();
    } else this.#leave(active, 'stopped');
  }

  pause(id: string): void {
    const active = this.#queue.find((candidate) => candidate.runId === id);
    if (active === undefined)
      throw new Problem(
        'not-allowed',
        `The run '${this.#registry.get(id).name}' is not going on.`,
        'Only a run that does can be paused.',
      );
    // A stop that was asked for before stays one.
    if (active.stop !== null) return;
    this.#registry.log(id, 'A pause was asked for: a checkpoint first.');
    this.#leave(active, 'paused');
  }

  /** Ends a run that waits, and asks the job of one that trains to end after a checkpoint. */
  #leave(active: Active, as: 'stopped' | 'paused'): void {
    active.stop = as;
    if (active.job === null) this.#end(active, as, null);
    else {
      this.#stayEnded(active.runId);
      active.job.stop();
      this.#registry.show(active.runId, as === 'paused' ? 'Pausing' : 'Stopping');
    }
  }

  /** What somebody has stopped does not go on by itself, even when this host ends before the run does. */
  #stayEnded(runId: string): void {
    try {
      this.#context.store.queue.remove(runId);
    } catch (error) {
      logError(error);
    }
  }

  /** Resolves when the run has ended, one way or another. */
  async ended(id: string): Promise<Run> {
    await this.#queue.find((active) => active.runId === id)?.ended.promise;
    return this.#registry.get(id);
  }

  /** Begins the next run, or as soon as that can be stored. */
  #pump(): void {
    this.#context.unsaved.save('The beginning of the next run', () => this.#begin());
  }

  /** Throws where nothing can be stored just now, and may be called again then; what else goes wrong is the end of the run. */
  #begin(): void {
    const next = this.#queue[0];
    if (next === undefined || next.job !== null || next.judging) return;
    const { store, supervisor, cacheDir } = this.#context;
    try {
      const run = this.#registry.get(next.runId);
      // A run that was ended before its first moment has no record in its folder, and starts anew.
      const resume = existsSync(join(run.out, 'run.json'));
      const devices = this.#devicesFor(next, run);
      if (devices === null) return;
      store.transaction(() => {
        store.runs.update(run.id, { state: 'running', phase: 'Starting' });
        if (next.left !== null) store.queue.continueFrom(run.id, next.left);
      });
      const spec = {
        kind: 'train',
        modelPath: run.modelPath,
        ...next.details,
        devices,
        recipe: resume ? next.recipe : { ...run.recipe, ...next.recipe },
        out: run.out,
        resume,
        cacheDir,
      } as const;
      const job = supervisor.start(spec, { onMessage: (message) => this.#receive(next, message) });
      next.job = job;
      void this.#finish(next, job);
      if (next.left !== null) this.#registry.log(run.id, 'The studio ended while the run trained.');
      this.#registry.log(run.id, resume ? 'Goes on.' : 'Starts.');
      store.runs.update(run.id, { process: job.pid === undefined ? null : processIdentity(job.pid) });
      this.#registry.tell(run.id);
    } catch (error) {
      const problem = toProblemValue(error);
      if (next.job !== null) this.#giveUp(next, error);
      else if (mayPass(problem.code)) throw error;
      else {
        logError(error);
        this.#end(next, 'failed', problem);
      }
    }
  }

  /** Null while devices are tried on a model of this make; the run begins when that is known. */
  #devicesFor(active: Active, run: Run): readonly DeviceInfo[] | null {
    const { modelPath } = run;
    const { acceptFields, adapterPath, device } = active.details;
    const subject: TrialSubject = {
      ...{ modelPath, adapterPath },
      ...(acceptFields === undefined ? {} : { acceptFields }),
      recipe: { ...run.recipe, ...active.recipe },
    };
    const known = device === 'cpu' ? [processor()] : this.#devices.forRun(subject);
    if (known !== null) return known;
    active.judging = true;
    this.#registry.show(active.runId, 'Trying the devices');
    void this.#devices.tryFor(subject).then(
      () => {
        active.judging = false;
        this.#pump();
      },
      (error: unknown) => {
        logError(error);
        if (this.#queue.includes(active)) this.#end(active, 'failed', toProblemValue(error));
      },
    );
    return null;
  }

  /** A report that cannot be stored, on a full disk, ends the run that made it and nothing else. */
  #receive(active: Active, message: JobMessage): void {
    try {
      active.intake.receive(message, active.job!.id, active.stop !== null);
    } catch (error) {
      this.#giveUp(active, error);
    }
  }

  #giveUp(active: Active, error: unknown): void {
    active.unstored ??= toProblemValue(error);
    active.job?.kill();
  }

  async #finish(active: Active, job: Job): Promise<void> {
    let state: RunState = 'done';
    let problem: ProblemValue | null = null;
    let version: AdapterVersion | null = null;
    try {
      await job.finished;
    } catch (error) {
      problem = toProblemValue(error);
      state = problem.code === 'stopped' ? 'stopped' : stateAfter(problem);
    }
    if (state === 'stopped') problem = null;
    if (state === 'stopped' && active.stop === 'paused') state = 'paused';
    if (active.unstored !== null) [state, problem] = ['failed', active.unstored];
    if (active.stop === 'owner-gone' && state !== 'done') state = 'interrupted';
    if (state === 'done') {
      try {
        version = await this.#adapters.versionOf(this.#registry.get(active.runId));
      } catch (error) {
        problem = toProblemValue(error);
        state = stateAfter(problem);
      }
    }
    this.#end(active, state, problem, version);
  }

  /** The run has ended, whether that can be stored now or later. `version` is the adapter it has made. */
  #end(active: Active, state: RunState, problem: ProblemValue | null, version: AdapterVersion | null = null): void {
    const { runId } = active;
    this.#queue.splice(this.#queue.indexOf(active), 1);
    this.#registry.saveEnding(runId, endingOf(state, problem), () => {
      this.#context.store.queue.remove(runId);
      active.intake.keepMemory();
      const line = lineOf(lastWords(this.#registry.get(runId)));
      this.#context.store.log.add(runId, line);
      if (version !== null) this.#context.store.adapters.put(version);
      return () => {
        this.#context.emit('run.log', { runId, line });
        if (version !== null) this.#adapters.tell(version);
      };
    });
    this.#registry.tellSafely(runId);
    this.#tellOrder();
    active.ended.resolve();
    this.#pump();
  }
}

const endingOf = (state: RunState, problem: ProblemValue | null = null): Ending => ({
  ...{ state, problem },
  ...{ phase: '', secondsLeft: null, finishedAt: Date.now() },
});

/** A process that is gone has done nothing wrong: the run goes on from where it was. */
const stateAfter = ({ code }: ProblemValue): RunState => (code === 'job-crashed' ? 'interrupted' : 'failed');

/** The last line of a run's log. */
function lastWords({ state, step, seconds, problem }: Run): string {
  if (problem !== null) return `${problem.message} ${problem.hint}`;
  return `${state.charAt(0).toUpperCase()}${state.slice(1)} at step ${step} after ${seconds.toFixed(1)} s of training.`;
}
