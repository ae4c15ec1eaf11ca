/**
 * Queues runs: one trains at a time, and the others wait in their order. The queue survives the host: the next host continues
 * its runs, except those that belong to a client. Decision 24 says why a run that trained is continued too.
 */
import type { DeviceInfo, ModelAt, Run, RunState, TrainRequest, TrialSubject } from '../../contract.ts';
import { holdsRun, runContent } from '../../jobs/run-folder.ts';
import { alreadyTraining, requireNoTraining } from '../../jobs/run-lock.ts';
import { logError, Problem, toProblemValue, type ProblemValue } from '../../problem.ts';
import type { RecipeInput } from '../../recipe.ts';
import { processor } from '../../runtime/devices.ts';
import type { RunJob } from '../../store/runs.ts';
import type { AdapterRegistry } from '../adapters.ts';
import type { HostContext } from '../context.ts';
import type { Datasets } from '../datasets.ts';
import type { Devices } from '../devices.ts';
import type { Library } from '../library.ts';
import { requireAbsolute } from '../require.ts';
import { mayPass } from '../unsaved.ts';
import { Intake } from './intake.ts';
import { type Ending, lineOf, requireEnded, type RunRegistry } from './registry.ts';
import { newRun, readRequest } from './request.ts';
import type { RunHandle, Runner } from './runner.ts';

interface Active {
  readonly runId: string;
  /** Holds the fields that the person gave; a resumed run takes the others from its folder. */
  readonly recipe: RecipeInput;
  readonly details: RunJob;
  /** Fires when the client that the run belongs to disconnects; null for runs that belong to nobody. */
  readonly owner: AbortSignal | null;
  readonly intake: Intake;
  readonly ended: PromiseWithResolvers<void>;
  /** Says that the run is not to be started yet, because devices are being tried for it. */
  held: boolean;
  /** Gives the step of its last checkpoint if it trained when an earlier host ended, or null otherwise. */
  left: number | null;
  handle: RunHandle | null;
  /** Says why the content of its folder could not be stored, or is null when it could. */
  unstored: ProblemValue | null;
  stop: 'stopped' | 'paused' | 'owner-gone' | null;
}

/** Collects the parts of the host that the queue works with. */
export interface QueueParts {
  readonly registry: RunRegistry;
  readonly library: Library;
  readonly datasets: Datasets;
  readonly adapters: AdapterRegistry;
  readonly devices: Devices;
  readonly runner: Runner;
}

export class RunQueue {
  readonly #context: HostContext;
  readonly #registry: RunRegistry;
  readonly #library: Library;
  readonly #datasets: Datasets;
  readonly #adapters: AdapterRegistry;
  readonly #devices: Devices;
  readonly #runner: Runner;
  /** Lists the runs in their order: the one that trains first, then those that wait. */
  readonly #queue: Active[] = [];

  constructor(context: HostContext, { registry, library, datasets, adapters, devices, runner }: QueueParts) {
    this.#context = context;
    this.#registry = registry;
    this.#library = library;
    this.#datasets = datasets;
    this.#adapters = adapters;
    this.#devices = devices;
    this.#runner = runner;
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  /**
   * Takes over the runs that an earlier host left when it ended, and begins the next run. It is called once, when every other
   * part exists. Returns the ids of the runs that continue and of those that have ended meanwhile.
   */
  takeOver(): string[] {
    const { runs, queue, checkpoints } = this.#context.store;
    const ended: string[] = [];
    const left = new Map([...runs.inState('running'), ...runs.inState('queued')].map((one) => [one.run.id, one]));
    for (const { process: identity } of left.values()) if (identity !== null) this.#runner.end(identity);
    for (const { runId, recipe, job, resumedFrom } of queue.list()) {
      const run = left.get(runId)?.run;
      if (run === undefined) continue;
      const active = this.#waiting(runId, recipe, job, null);
      if (run.state === 'running') {
        if (this.#endLeft(active)) {
          left.delete(runId);
          ended.push(runId);
          continue;
        }
        active.left = checkpoints.list(runId).at(-1)?.step ?? 0;
        if (resumedFrom !== null && active.left <= resumedFrom) continue;
      }
      left.delete(runId);
      this.#queue.push(active);
    }
    for (const { run } of left.values()) {
      const job = runs.job(run.id);
      if (run.state === 'running' && job !== null && this.#endLeft(this.#waiting(run.id, {}, job, null))) {
        ended.push(run.id);
        continue;
      }
      this.#registry.saveEnding(run.id, endingOf('interrupted'), () => {
        queue.remove(run.id);
        this.#context.store.log.add(run.id, lineOf('The studio closed before the run finished.'));
      });
    }
    this.#pump();
    return [...ended, ...this.order];
  }

  /** Stores what a run wrote while no host read it, and ends the run if it had ended by itself. Returns false if it had not. */
  #endLeft(active: Active): boolean {
    try {
      active.intake.follow();
    } catch (error) {
      // What cannot be stored now is found when the run goes on.
      logError(error);
    }
    const { end } = active.intake;
    if (end === null) return false;
    this.#queue.push(active);
    this.#conclude(active, end.state, end.problem);
    return true;
  }

  /** Lists the runs, the one that trains first, then those that wait. */
  get order(): string[] {
    return this.#queue.map(({ runId }) => runId);
  }

  /** Moves a waiting run to the place `place`, from 1, among those that wait. */
  move(id: string, place: number): string[] {
    const first = this.#queue[0];
    const begun = first !== undefined && (first.handle !== null || first.held) ? 1 : 0;
    const active = this.#queue.slice(begun).find(({ runId }) => runId === id);
    if (active === undefined)
      throw new Problem(
        'not-allowed',
        `The run '${this.#registry.get(id).name}' is not waiting in the queue.`,
        'Only a waiting run can be moved.',
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
    const asked = readRequest(request, await this.#datasets.dataAt(request.data), store);
    await this.#freeFolder(request, previous);
    if (previous !== null) return this.#enqueue(previous.id, asked.given, asked.job, owner);

    const project =
      request.projectId !== undefined
        ? this.#library.project(request.projectId)
        : asked.model !== null
          ? this.#library.project(asked.model.projectId)
          : this.#library.looseProject();
    const siblings = store.runs.list(project.id).length;
    const run = newRun(request, asked, { projectId: project.id, siblings, dataDir });
    store.runs.insert(run, asked.job);
    this.#context.emit('list.changed', { projectId: project.id, list: 'runs' });
    return this.#enqueue(run.id, asked.given, asked.job, owner);
  }

  /** Refuses a folder that another run uses or that is not empty, unless the run in it is resumed. */
  async #freeFolder({ out, resume }: TrainRequest, previous: Run | null): Promise<void> {
    if (out === undefined) return;
    for (const active of [...this.#queue]) {
      if (this.#registry.get(active.runId).out !== out) continue;
      // The client that started it has just been killed: its run is ending.
      if (active.owner?.aborted) await active.ended.promise;
      else throw alreadyTraining(out);
    }
    requireNoTraining(out);
    if (resume === true) {
      if (previous !== null || holdsRun(out)) return;
      throw new Problem('checkpoint-missing', `There is no run to resume in ${out}.`, 'Omit --resume to start a new run.');
    }
    let content: string[] = [];
    try {
      content = runContent(out);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTDIR')
        throw new Problem('folder-not-empty', `${out} is a file.`, 'Choose a new folder.', { cause: error });
      if (code !== 'ENOENT') throw error;
    }
    if (content.length > 0)
      throw new Problem(
        'folder-not-empty',
        `The folder ${out} is not empty.`,
        'Choose a new folder, or resume the run in it (--resume).',
      );
  }

  resume(id: string): Run {
    const run = this.#registry.get(id);
    requireEnded(run);
    if (run.state === 'done') throw new Problem('not-allowed', `The run '${run.name}' has finished.`, 'Start a new run.');
    requireNoTraining(run.out);
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
      intake: new Intake(this.#context, this.#registry, this.#adapters, runId),
      ended: Promise.withResolvers<void>(),
      held: false,
      left: null,
      handle: null,
      stop: null,
      unstored: null,
    };
  }

  #ownerGone(active: Active): void {
    if (!this.#queue.includes(active)) return;
    active.stop ??= 'owner-gone';
    if (active.handle === null) this.#end(active, 'interrupted', null);
    else active.handle.kill();
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
    this.#registry.log(id, force ? forcedStop(active) : `Stop requested. ${howItEnds(active)}`);
    if (force && active.handle !== null) {
      active.stop = 'stopped';
      this.#stayEnded(id);
      active.handle.kill();
    } else this.#leave(active, 'stopped');
  }

  pause(id: string): void {
    const active = this.#queue.find((candidate) => candidate.runId === id);
    if (active === undefined)
      throw new Problem(
        'not-allowed',
        `The run '${this.#registry.get(id).name}' is neither training nor waiting.`,
        'Only a run that is training or waiting can be paused.',
      );
    // A stop that was asked for before stays one.
    if (active.stop !== null) return;
    this.#registry.log(id, `Pause requested. ${howItEnds(active)}`);
    this.#leave(active, 'paused');
  }

  /** Ends a run that waits, or asks the job of a run that trains to end after a checkpoint. */
  #leave(active: Active, as: 'stopped' | 'paused'): void {
    active.stop = as;
    if (active.handle === null) this.#end(active, as, null);
    else {
      this.#stayEnded(active.runId);
      active.handle.stop();
      this.#registry.show(active.runId, as === 'paused' ? 'Pausing' : 'Stopping');
    }
  }

  /** Removes a stopped run from the stored queue, so that it is not continued even if this host ends before the run does. */
  #stayEnded(runId: string): void {
    try {
      this.#context.store.queue.remove(runId);
    } catch (error) {
      logError(error);
    }
  }

  /** Resolves when the run has ended, in whatever way. */
  async ended(id: string): Promise<Run> {
    await this.#queue.find((active) => active.runId === id)?.ended.promise;
    return this.#registry.get(id);
  }

  /** Begins the next run, now or as soon as that can be stored. */
  #pump(): void {
    this.#context.unsaved.save('The start of the next run', () => this.#begin());
  }

  /**
   * Begins the first run of the queue if it waits. Throws when nothing can be stored at the moment, and can be called again;
   * any other error ends the run.
   */
  #begin(): void {
    const next = this.#queue[0];
    if (next === undefined || next.handle !== null || next.held) return;
    const { store } = this.#context;
    try {
      const run = this.#registry.get(next.runId);
      // A run that was ended before it began has no record in its folder, and starts again.
      const resume = holdsRun(run.out);
      const devices = this.#devicesFor(next, run);
      if (devices === null) return;
      store.transaction(() => {
        store.runs.update(run.id, {
          state: 'running',
          phase: 'Starting',
          ...(resume ? {} : { metricsRead: 0, eventsRead: 0 }),
        });
        if (next.left !== null) store.queue.noteResume(run.id, next.left);
      });
      if (!resume) next.intake.startOver();
      const { acceptFields: _, ...details } = next.details;
      const spec = {
        model: modelOf(run, next.details),
        ...details,
        devices,
        recipe: resume ? next.recipe : { ...run.recipe, ...next.recipe },
        resume,
      };
      const handle = this.#runner.start(spec, run.out, {
        onWritten: () => this.#guarded(next, () => next.intake.follow()),
        onProgress: (progress) =>
          this.#guarded(next, () => next.intake.progress(progress, next.handle!.id, next.stop !== null)),
      });
      next.handle = handle;
      void this.#finish(next, handle);
      if (next.left !== null) this.#registry.log(run.id, 'The studio closed while the run was training.');
      this.#registry.log(run.id, resume ? 'Run resumed.' : 'Run started.');
      store.runs.update(run.id, { process: handle.identity });
      this.#registry.tell(run.id);
    } catch (error) {
      const problem = toProblemValue(error);
      if (next.handle !== null) this.#giveUp(next, error);
      else if (mayPass(problem.code)) throw error;
      else {
        logError(error);
        this.#end(next, 'failed', problem);
      }
    }
  }

  /** Returns the devices for a run, or null while they are tried on a model of this make. The run begins when that is known. */
  #devicesFor(active: Active, run: Run): readonly DeviceInfo[] | null {
    const { adapterPath, adapterHash, adapterConfigHash, device } = active.details;
    const subject: TrialSubject = {
      ...{ model: modelOf(run, active.details), adapterPath },
      ...(adapterHash === undefined ? {} : { adapterHash }),
      ...(adapterConfigHash === undefined ? {} : { adapterConfigHash }),
      recipe: { ...run.recipe, ...active.recipe },
    };
    const known = device === 'cpu' ? [processor()] : this.#devices.forRun(subject);
    if (known !== null) return known;
    active.held = true;
    this.#registry.show(active.runId, 'Testing the devices');
    void this.#devices.tryFor(subject).then(
      () => {
        active.held = false;
        this.#pump();
      },
      (error: unknown) => {
        logError(error);
        if (this.#queue.includes(active)) this.#end(active, 'failed', toProblemValue(error));
      },
    );
    return null;
  }

  /** Stores something about a run. When that fails, as on a full disk, this run ends and nothing else does. */
  #guarded(active: Active, store: () => void): void {
    try {
      store();
    } catch (error) {
      this.#giveUp(active, error);
    }
  }

  #giveUp(active: Active, error: unknown): void {
    active.unstored ??= toProblemValue(error);
    active.handle?.kill();
  }

  async #finish(active: Active, handle: RunHandle): Promise<void> {
    let state: RunState = 'done';
    let problem: ProblemValue | null = null;
    try {
      await handle.finished;
    } catch (error) {
      problem = toProblemValue(error);
      state = problem.code === 'stopped' ? 'stopped' : stateAfter(problem);
    }
    // A killed process did not report what it wrote last.
    if (active.unstored === null) this.#guarded(active, () => active.intake.follow());
    this.#conclude(active, state, problem);
  }

  /** Ends a run that nothing computes any more. */
  #conclude(active: Active, state: RunState, problem: ProblemValue | null): void {
    if (state === 'stopped') problem = null;
    if (state === 'stopped' && active.stop === 'paused') state = 'paused';
    if (active.unstored !== null) [state, problem] = ['failed', active.unstored];
    if (active.stop === 'owner-gone' && state !== 'done') state = 'interrupted';
    this.#end(active, state, problem);
  }

  /** Ends a run; the end is stored now or later. */
  #end(active: Active, state: RunState, problem: ProblemValue | null): void {
    const { runId } = active;
    this.#queue.splice(this.#queue.indexOf(active), 1);
    this.#registry.saveEnding(runId, endingOf(state, problem), () => {
      this.#context.store.queue.remove(runId);
      active.intake.keepMemory();
      const line = lineOf(lastWords(this.#registry.get(runId)));
      this.#context.store.log.add(runId, line);
      return () => this.#context.emit('run.log', { runId, line });
    });
    this.#tellOrder();
    active.ended.resolve();
    this.#pump();
  }
}

const endingOf = (state: RunState, problem: ProblemValue | null = null): Ending => ({
  ...{ state, problem },
  ...{ phase: '', secondsLeft: null, finishedAt: Date.now() },
});

/**
 * Returns the state of a run whose job ended with a Problem. A crash of the process is not the fault of the run, so the run can
 * be resumed.
 */
const stateAfter = ({ code }: ProblemValue): RunState => (code === 'job-crashed' ? 'interrupted' : 'failed');

const isUnderway = ({ handle }: Active): boolean => handle?.underway === true;

/** Says how a run ends that is asked to. */
function howItEnds(active: Active): string {
  return isUnderway(active)
    ? 'The run ends after the current step and its checkpoint.'
    : 'No step has begun, so the run ends now.';
}

function forcedStop(active: Active): string {
  return isUnderway(active)
    ? 'Stopped immediately. Steps after the last checkpoint are lost.'
    : 'Stopped immediately, before any step had begun.';
}

/** Returns the last line of a run's log. */
function lastWords({ state, step, seconds, problem }: Run): string {
  if (problem !== null) return `${problem.message} ${problem.hint}`;
  return `${state.charAt(0).toUpperCase()}${state.slice(1)} at step ${step} after ${seconds.toFixed(1)} s of training.`;
}

/** Returns the base of a run, as it was opened when the run was requested. */
function modelOf({ modelPath }: Run, { acceptFields }: RunJob): ModelAt {
  return { path: modelPath, ...(acceptFields === undefined ? {} : { acceptFields }) };
}
