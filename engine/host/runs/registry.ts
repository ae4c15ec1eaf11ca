/** Knows all runs as they are now: what is stored of them, and the ends that could not be stored yet. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LogLine, Run } from '../../contract.ts';
import { requireNoTraining } from '../../jobs/run-lock.ts';
import { logError, Problem } from '../../problem.ts';
import { found, type HostContext } from '../context.ts';
import { requireName } from '../require.ts';

export type Ending = Pick<Run, 'state' | 'phase' | 'problem' | 'secondsLeft' | 'finishedAt'>;

export class RunRegistry {
  readonly #context: HostContext;
  readonly #endings = new Map<string, Ending>();

  constructor(context: HostContext) {
    this.#context = context;
  }

  get(id: string): Run {
    return this.#asEnded(found(this.#context.store.runs.get(id), 'run', id));
  }

  /** Lists the runs of one project or of all, oldest first. */
  list(projectId?: string): Run[] {
    return this.#context.store.runs.list(projectId).map((run) => this.#asEnded(run));
  }

  #asEnded(run: Run): Run {
    return { ...run, ...this.#endings.get(run.id) };
  }

  update(id: string, change: { name?: string; notes?: string; tags?: readonly string[] }): Run {
    this.get(id);
    const { name, notes, tags } = change;
    this.#context.store.runs.update(id, {
      ...(name === undefined ? {} : { name: requireName(name, 'run') }),
      ...(notes === undefined ? {} : { notes }),
      ...(tags === undefined ? {} : { tags }),
    });
    this.tell(id);
    return this.get(id);
  }

  /**
   * Removes a run from the store. Its files are removed too when they are in the data folder and no adapter version needs them.
   */
  remove(id: string): void {
    const run = this.get(id);
    requireEnded(run);
    const { store, emit, dataDir } = this.#context;
    const kept = store.adapters.ofRun(id) !== null;
    // The files are removed first: if that fails, the run still exists and can show the failure.
    if (!kept && run.out === join(dataDir, 'runs', id)) {
      // Another data folder may continue it.
      requireNoTraining(run.out);
      rmSync(run.out, { recursive: true, force: true });
    }
    store.runs.remove(id);
    this.#context.unsaved.forget(endOf(id));
    this.#endings.delete(id);
    emit('run.removed', { id });
    emit('list.changed', { projectId: run.projectId, list: 'runs' });
  }

  /** Sends the current state of the run to every client. */
  tell(id: string): void {
    this.#context.emit('run.changed', this.get(id));
  }

  /** Does the same in the background, where no client waits that could be told that the run cannot be read. */
  tellSafely(id: string): void {
    try {
      this.tell(id);
    } catch (error) {
      logError(error);
    }
  }

  /** Adds a line to the log of a run. A line that cannot be stored is sent all the same. */
  log(runId: string, text: string): void {
    const line = lineOf(text);
    try {
      this.#context.store.log.add(runId, line);
    } catch (error) {
      logError(error);
    }
    this.#context.emit('run.log', { runId, line });
  }

  /** Shows what a run is doing; it does not matter whether that is stored. */
  show(id: string, phase: string): void {
    try {
      this.#context.store.runs.update(id, { phase });
    } catch (error) {
      logError(error);
    }
    this.tellSafely(id);
  }

  /**
   * Stores an end and what belongs to it, all or nothing, now or as soon as that is possible. Clients are sent the ended run at
   * once, and only then what the function that `store` returns sends: who waits for the end has its reason from the run.
   */
  saveEnding(runId: string, ending: Ending, store: () => (() => void) | void): void {
    const { unsaved, store: tables } = this.#context;
    this.#endings.set(runId, ending);
    const settled = () => void this.#endings.delete(runId);
    const save = () => {
      const tell = tables.transaction(() => {
        tables.runs.update(runId, { ...ending, process: null });
        return store();
      });
      settled();
      this.tellSafely(runId);
      tell?.();
    };
    unsaved.save(endOf(runId), save, settled);
    if (this.#endings.has(runId)) this.tellSafely(runId);
  }

  /** Refuses to resume a run whose end cannot be stored even now. */
  requireEndStored(runId: string): void {
    this.#context.unsaved.retry();
    if (!this.#endings.has(runId)) return;
    const { code, message } = this.#context.unsaved.reasonFor(endOf(runId)) ?? {
      code: 'store-unavailable' as const,
      message: 'Saving is being retried.',
    };
    throw new Problem(
      code,
      `The end of the run '${this.get(runId).name}' could not be saved yet: ${message}`,
      'Free some space on the disk of the data folder, or close other programs that use its database. The end is then saved within seconds.',
    );
  }
}

/** Returns whether the run trains or waits. */
export const isActive = ({ state }: Run): boolean => state === 'running' || state === 'queued';

export function requireEnded(run: Run): void {
  if (isActive(run)) throw new Problem('not-allowed', `The run '${run.name}' is still active.`, 'Stop it first.');
}

export const lineOf = (text: string): LogLine => ({ at: Date.now(), text });

const endOf = (runId: string): string => `The end of run ${runId}`;
