/** Runs: one trains at a time, the others wait in the order they were asked for. What a job reports is stored first and told after. */
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type {
  AdapterVersion,
  DeviceInfo,
  JobMessage,
  LogLine,
  Run,
  RunState,
  TrainRequest,
  TrialSubject,
} from '../contract.ts';
import { runContent } from '../jobs/run-folder.ts';
import type { Job } from '../jobs/supervisor.ts';
import { logError, longestName, Problem, shown, toProblemValue, type ProblemValue } from '../problem.ts';
import { checkRecipe, ownNames, type RecipeInput } from '../recipe.ts';
import { processor } from '../runtime/devices.ts';
import type { RunJob } from '../store/runs.ts';
import { memoryRecipe } from '../training/memory.ts';
import type { AdapterRegistry } from './adapters.ts';
import { found, type HostContext } from './context.ts';
import type { Devices } from './devices.ts';
import { type Library, modelAt, requireAbsolute, requireName } from './library.ts';
import { isAlive, processIdentity } from './lock.ts';
import { mayPass } from './unsaved.ts';

/** Runs asked for by path alone gather here. */
const looseProject = 'Command line';

interface Active {
  readonly runId: string;
  /** What the person gave; a resumed run knows the rest from its folder. */
  readonly recipe: RecipeInput;
  readonly details: RunJob;
  /** Fires when the client the run belongs to goes away; null for runs that belong to nobody. */
  readonly owner: AbortSignal | null;
  readonly ended: PromiseWithResolvers<void>;
  /** Devices are being tried for it. */
  judging: boolean;
  job: Job | null;
  /** What it reported could not be stored. */
  unstored: ProblemValue | null;
  /** As last stored: every report of progress carries it again. */
  phase: string;
  /** Tokens of the longest row, once the job has said so. */
  longest: number | null;
  stop: 'stopped' | 'paused' | 'owner-gone' | null;
}

type Ending = Pick<Run, 'state' | 'phase' | 'problem' | 'secondsLeft' | 'finishedAt'>;

export class RunQueue {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #adapters: AdapterRegistry;
  readonly #devices: Devices;
  /** First the one that trains, then those that wait. */
  readonly #queue: Active[] = [];
  /** How runs have ended whose end is not stored yet. */
  readonly #endings = new Map<string, Ending>();

  constructor(context: HostContext, library: Library, adapters: AdapterRegistry, devices: Devices) {
    this.#context = context;
    this.#library = library;
    this.#adapters = adapters;
    this.#devices = devices;
    this.#interruptOrphans();
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  get(id: string): Run {
    return this.#asEnded(found(this.#context.store.runs.get(id), 'run', id));
  }

  /** Oldest first; of one project or of all. */
  list(projectId?: string): Run[] {
    return this.#context.store.runs.list(projectId).map((run) => this.#asEnded(run));
  }

  #asEnded(run: Run): Run {
    return { ...run, ...this.#endings.get(run.id) };
  }

  /** Runs that a host left behind when it died; their processes, should one still compute, belong to nobody. */
  #interruptOrphans(): void {
    const { runs } = this.#context.store;
    for (const { run, process: identity } of [...runs.inState('running'), ...runs.inState('queued')]) {
      if (identity !== null && identity.started !== null && isAlive(identity)) {
        try {
          process.kill(identity.pid, 'SIGKILL');
        } catch {
          // It has just ended by itself.
        }
      }
      const ending: Ending = { state: 'interrupted', phase: '', problem: null, secondsLeft: null, finishedAt: Date.now() };
      this.#saveEnding(run.id, ending, () =>
        this.#context.store.log.add(run.id, lineOf('The studio ended before the run had.')),
      );
    }
  }

  async start(request: TrainRequest, client: AbortSignal): Promise<Run> {
    const { store } = this.#context;
    const owner = request.attached === true ? client : null;
    if (request.out !== undefined) requireAbsolute(request.out);
    const previous = request.resume === true && request.out !== undefined ? store.runs.byOut(request.out) : null;
    const model = 'id' in request.model ? found(store.models.get(request.model.id), 'model', request.model.id) : null;
    const { modelPath, acceptFields } = modelAt(store, request.model);
    const dataset = 'id' in request.data ? found(store.datasets.get(request.data.id), 'data set', request.data.id) : null;
    const { dataPaths, evalPaths } =
      'id' in request.data
        ? { dataPaths: dataset!.trainPaths, evalPaths: dataset!.evalPaths }
        : { dataPaths: request.data.paths, evalPaths: request.data.evalPaths };
    if (dataPaths.length === 0)
      throw new Problem('request-invalid', 'A run needs at least one file to train on.', 'Name a data set.');
    for (const path of [...dataPaths, ...evalPaths]) requireAbsolute(path);
    const adapterPath =
      request.adapter === undefined
        ? null
        : 'id' in request.adapter
          ? found(store.adapters.get(request.adapter.id), 'adapter', request.adapter.id).path
          : request.adapter.path;

    await this.#freeFolder(request, previous);
    const checked = checkRecipe(request.recipe);
    if ('errors' in checked)
      throw new Problem(
        'recipe-invalid',
        checked.errors.map(({ message }) => message).join(' '),
        'Correct the recipe; its fields and their ranges are listed in the documentation of recipes.',
      );
    const job: RunJob = {
      dataPaths,
      evalPaths,
      adapterPath,
      device: request.device ?? 'auto',
      skipBadRows: request.skipBadRows ?? false,
      acceptFields,
    };
    const given = ownNames(request.recipe).fields;
    if (previous !== null) return this.#enqueue(previous.id, given, job, owner);

    const project =
      request.projectId !== undefined
        ? this.#library.project(request.projectId)
        : model !== null
          ? this.#library.project(model.projectId)
          : this.#library.projectNamed(looseProject);
    const id = randomUUID();
    const siblings = store.runs.list(project.id);
    const out = request.out ?? join(this.#context.dataDir, 'runs', id);
    const run: Run = {
      id,
      projectId: project.id,
      name: request.name?.trim()
        ? requireName(request.name, 'run')
        : request.out === undefined
          ? `Run ${siblings.length + 1}`
          : shown(basename(request.out), longestName),
      colour: (siblings.length % 8) + 1,
      state: 'queued',
      phase: '',
      modelId: model?.id ?? null,
      modelName: model?.name ?? shown(basename(modelPath), longestName),
      modelPath,
      datasetId: dataset?.id ?? null,
      datasetName: dataset?.name ?? shown(basename(dataPaths[0]!), longestName),
      recipe: checked.recipe,
      device: 'cpu',
      out,
      step: 0,
      totalSteps: 0,
      secondsLeft: null,
      seconds: 0,
      lastLoss: null,
      lastEvalLoss: null,
      bestEvalLoss: null,
      trainableParameters: 0,
      peakMemory: 0,
      problem: null,
      notes: '',
      tags: [],
      createdAt: Date.now(),
      finishedAt: null,
    };
    store.runs.insert(run, job);
    this.#context.emit('list.changed', { projectId: project.id, list: 'runs' });
    return this.#enqueue(id, given, job, owner);
  }

  /** Refuses a folder somebody else uses or that holds something, unless the run in it goes on. */
  async #freeFolder({ out, resume }: TrainRequest, previous: Run | null): Promise<void> {
    if (out === undefined) return;
    for (const active of [...this.#queue]) {
      if (this.get(active.runId).out !== out) continue;
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
    const run = this.get(id);
    if (run.state === 'running' || run.state === 'queued')
      throw new Problem('not-allowed', `The run '${run.name}' is still going on.`, 'Stop it first.');
    if (run.state === 'done') throw new Problem('not-allowed', `The run '${run.name}' is finished.`, 'Start a new one.');
    return this.#enqueue(id, {}, this.#context.store.runs.job(id)!, null);
  }

  #enqueue(runId: string, recipe: RecipeInput, details: RunJob, owner: AbortSignal | null): Run {
    this.#settle(runId);
    const active: Active = {
      runId,
      recipe,
      details,
      owner,
      ended: Promise.withResolvers<void>(),
      phase: '',
      judging: false,
      job: null,
      longest: null,
      stop: null,
      unstored: null,
    };
    this.#context.store.runs.update(runId, { state: 'queued', phase: 'Waiting for its turn', problem: null, finishedAt: null });
    this.#queue.push(active);
    if (owner !== null) {
      const gone = () => this.#ownerGone(active);
      if (owner.aborted) queueMicrotask(gone);
      else owner.addEventListener('abort', gone, { once: true });
      void active.ended.promise.then(() => owner.removeEventListener('abort', gone));
    }
    this.#changed(runId);
    this.#pump();
    return this.get(runId);
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
      if (this.get(id).state !== 'paused') return;
      this.#settle(id);
      this.#context.store.runs.update(id, { state: 'stopped' });
      this.#changed(id);
      return;
    }
    this.#log(
      id,
      force ? 'Stopped at once: what came after the last checkpoint is lost.' : 'A stop was asked for: a checkpoint first.',
    );
    if (force && active.job !== null) {
      active.stop = 'stopped';
      active.job.kill();
    } else this.#leave(active, 'stopped');
  }

  pause(id: string): void {
    const active = this.#queue.find((candidate) => candidate.runId === id);
    if (active === undefined)
      throw new Problem(
        'not-allowed',
        `The run '${this.get(id).name}' is not going on.`,
        'Only a run that does can be paused.',
      );
    // A stop that was asked for before stays one.
    if (active.stop !== null) return;
    this.#log(id, 'A pause was asked for: a checkpoint first.');
    this.#leave(active, 'paused');
  }

  /** Ends a run that waits, and asks the job of one that trains to end after a checkpoint. */
  #leave(active: Active, as: 'stopped' | 'paused'): void {
    active.stop = as;
    if (active.job === null) this.#end(active, as, null);
    else {
      active.job.stop();
      this.#show(active, as === 'paused' ? 'Pausing' : 'Stopping');
    }
  }

  /** Resolves when the run has ended, one way or another. */
  async ended(id: string): Promise<Run> {
    await this.#queue.find((active) => active.runId === id)?.ended.promise;
    return this.get(id);
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
      const run = this.get(next.runId);
      // A run that was ended before its first moment has no record in its folder, and starts anew.
      const resume = existsSync(join(run.out, 'run.json'));
      const devices = this.#devicesFor(next, run);
      if (devices === null) return;
      store.runs.update(run.id, { state: 'running', phase: 'Starting' });
      next.phase = 'Starting';
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
      const job = supervisor.start(spec, { onMessage: (message) => this.#receiveSafely(next, message) });
      next.job = job;
      void this.#finish(next, job);
      this.#log(run.id, resume ? 'Goes on.' : 'Starts.');
      store.runs.update(run.id, { process: job.pid === undefined ? null : processIdentity(job.pid) });
      this.#changed(run.id);
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
    this.#show(active, 'Trying the devices');
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
        version = await this.#adapters.versionOf(this.get(active.runId));
      } catch (error) {
        problem = toProblemValue(error);
        state = stateAfter(problem);
      }
    }
    this.#end(active, state, problem, version);
  }

  /** What the run has taken so far is what one like it will take. */
  #keepMemory({ runId, longest }: Active): void {
    const { modelPath, recipe, peakMemory, name, device } = this.get(runId);
    if (longest !== null && peakMemory > 0 && device === 'cpu')
      this.#context.store.memory.put(modelPath, {
        recipe: memoryRecipe(recipe),
        ...{ longest, bytes: peakMemory, measuredBy: name },
      });
  }

  /** The run has ended, whether that can be stored now or later. `version` is the adapter it has made. */
  #end(active: Active, state: RunState, problem: ProblemValue | null, version: AdapterVersion | null = null): void {
    const { runId } = active;
    this.#queue.splice(this.#queue.indexOf(active), 1);
    this.#saveEnding(runId, { state, phase: '', problem, secondsLeft: null, finishedAt: Date.now() }, () => {
      this.#keepMemory(active);
      const line = lineOf(lastWords(this.get(runId)));
      this.#context.store.log.add(runId, line);
      if (version !== null) this.#context.store.adapters.put(version);
      return () => {
        this.#context.emit('run.log', { runId, line });
        if (version !== null) this.#adapters.tell(version);
      };
    });
    this.#changedSafely(runId);
    active.ended.resolve();
    this.#pump();
  }

  /** Stores an end and what belongs to it, all or nothing, now or as soon as that is possible. What `store` answers is done once it is. */
  #saveEnding(runId: string, ending: Ending, store: () => (() => void) | void): void {
    const { unsaved, store: tables } = this.#context;
    this.#endings.set(runId, ending);
    const settled = () => void this.#endings.delete(runId);
    const save = () => {
      const tell = tables.transaction(() => {
        tables.runs.update(runId, { ...ending, process: null });
        return store();
      });
      settled();
      tell?.();
    };
    unsaved.save(endOf(runId), save, settled);
  }

  /** Refuses to go on from an end that cannot be stored even now. */
  #settle(runId: string): void {
    this.#context.unsaved.retry();
    if (!this.#endings.has(runId)) return;
    const { code, message } = this.#context.unsaved.reasonFor(endOf(runId)) ?? {
      code: 'store-unavailable' as const,
      message: 'It is tried again.',
    };
    throw new Problem(
      code,
      `How the run '${this.get(runId).name}' has ended could not be stored yet: ${message}`,
      'Free some space on the disk of the data folder, or end what else uses its database; it is then stored within seconds.',
    );
  }

  /** A report that cannot be stored, on a full disk, ends the run that made it and nothing else. */
  #receiveSafely(active: Active, message: JobMessage): void {
    try {
      this.#receive(active, message);
    } catch (error) {
      this.#giveUp(active, error);
    }
  }

  #giveUp(active: Active, error: unknown): void {
    active.unstored ??= toProblemValue(error);
    active.job?.kill();
  }

  #receive(active: Active, message: JobMessage): void {
    const { store, emit } = this.#context;
    const { runId } = active;
    switch (message.type) {
      case 'plan':
        active.longest = message.longest;
        store.transaction(() => {
          // What was measured after the checkpoint a run goes on from no longer counts.
          store.metrics.removeAfter(runId, message.stepsDone);
          store.metrics.put(runId, message.known.steps, message.known.evaluations);
          store.runs.update(runId, {
            recipe: message.recipe,
            step: message.stepsDone,
            totalSteps: message.totalSteps,
            trainableParameters: message.trainableParameters,
            device: message.device,
          });
        });
        this.#log(
          runId,
          `${counted(message.totalSteps)} steps, ${counted(message.trainableParameters)} trainable parameters, computed on ${message.device}.`,
        );
        this.#changed(runId);
        return;
      case 'progress': {
        if (active.phase !== message.progress.phase && active.stop === null) {
          store.runs.update(runId, { phase: message.progress.phase });
          active.phase = message.progress.phase;
          // What has no length happens once; training and evaluating take turns.
          if (message.progress.total === 0) this.#log(runId, `${message.progress.phase}.`);
          this.#changed(runId);
        }
        emit('job.progress', { jobId: active.job!.id, kind: 'train', subjectId: runId, progress: message.progress });
        return;
      }
      case 'metrics': {
        const { steps, evaluations, secondsLeft } = message;
        const isFirst = this.get(runId).step === 0;
        store.transaction(() => {
          store.metrics.put(runId, steps, evaluations);
          store.runs.update(runId, {
            secondsLeft,
            ...(steps.length > 0 ? { step: steps.at(-1)!.step } : {}),
          });
        });
        if (isFirst) this.#keepMemory(active);
        emit('run.metrics', { runId, steps, evaluations });
        for (const { step, evalLoss } of evaluations) this.#log(runId, `Step ${step}: evaluation loss ${evalLoss.toFixed(4)}.`);
        this.#changed(runId);
        return;
      }
      case 'sample':
        store.samples.put(runId, message.sample);
        emit('run.sample', { runId, sample: message.sample });
        return;
      case 'checkpoint':
        store.checkpoints.put(runId, message.checkpoint, this.get(runId).recipe.keepCheckpoints);
        this.#log(runId, `Step ${message.checkpoint.step}: checkpoint saved.`);
        this.#changed(runId);
        return;
      case 'log':
        this.#log(runId, message.text);
    }
  }

  /** A line that cannot be stored is told all the same. */
  #log(runId: string, text: string): void {
    const line = lineOf(text);
    try {
      this.#context.store.log.add(runId, line);
    } catch (error) {
      logError(error);
    }
    this.#context.emit('run.log', { runId, line });
  }

  /** What a run does just now; nothing hangs on whether it is stored. */
  #show(active: Active, phase: string): void {
    try {
      this.#context.store.runs.update(active.runId, { phase });
    } catch (error) {
      logError(error);
    }
    this.#changedSafely(active.runId);
  }

  update(id: string, change: { name?: string; notes?: string; tags?: readonly string[] }): Run {
    this.get(id);
    const { name, notes, tags } = change;
    this.#context.store.runs.update(id, {
      ...(name === undefined ? {} : { name: requireName(name, 'run') }),
      ...(notes === undefined ? {} : { notes }),
      ...(tags === undefined ? {} : { tags }),
    });
    this.#changed(id);
    return this.get(id);
  }

  /** Forgets a run. Its files go too when they lie in the data folder and no adapter version needs them. */
  remove(id: string): void {
    const run = this.get(id);
    if (this.#queue.some((active) => active.runId === id))
      throw new Problem('not-allowed', `The run '${run.name}' is still going on.`, 'Stop it first.');
    const { store, emit, dataDir } = this.#context;
    const kept = store.adapters.ofRun(id) !== null;
    // First the files: where they cannot be removed, the run is still there to say so of.
    if (!kept && run.out === join(dataDir, 'runs', id)) rmSync(run.out, { recursive: true, force: true });
    store.runs.remove(id);
    this.#context.unsaved.forget(endOf(id));
    this.#endings.delete(id);
    emit('run.removed', { id });
    emit('list.changed', { projectId: run.projectId, list: 'runs' });
  }

  #changed(id: string): void {
    this.#context.emit('run.changed', this.get(id));
  }

  /** Where nobody waits who could be told that a run cannot be read. */
  #changedSafely(id: string): void {
    try {
      this.#changed(id);
    } catch (error) {
      logError(error);
    }
  }
}

const endOf = (runId: string): string => `The end of run ${runId}`;
const lineOf = (text: string): LogLine => ({ at: Date.now(), text });

/** A process that is gone has done nothing wrong: the run goes on from where it was. */
const stateAfter = ({ code }: ProblemValue): RunState => (code === 'job-crashed' ? 'interrupted' : 'failed');

const counted = (value: number): string => value.toLocaleString('en-US');

/** The last line of a run's log. */
function lastWords({ state, step, seconds, problem }: Run): string {
  if (problem !== null) return `${problem.message} ${problem.hint}`;
  return `${state.charAt(0).toUpperCase()}${state.slice(1)} at step ${step} after ${seconds.toFixed(1)} s of training.`;
}
