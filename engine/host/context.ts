/** What every part of the host shares: the store, the jobs, and the way events leave. */
import type { EngineEvents, JobSpec } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Job, JobOptions, Supervisor } from '../jobs/supervisor.ts';
import type { Store } from '../store/open.ts';
import type { Unsaved } from './unsaved.ts';

/** Who asks: one connection of a window or command line. */
export interface Client {
  /** Fires when the connection is gone. */
  readonly gone: AbortSignal;
  /** An event for this one alone. */
  tell<N extends keyof EngineEvents>(name: N, payload: EngineEvents[N]): void;
}

export interface HostContext {
  readonly dataDir: string;
  /** Graphs and other things that can be made again. */
  readonly cacheDir: string;
  readonly store: Store;
  readonly supervisor: Supervisor;
  /** Where everything is stored that nobody waits for who could be told that it cannot be. */
  readonly unsaved: Unsaved;
  /** An event for everyone. */
  emit<N extends keyof EngineEvents>(name: N, payload: EngineEvents[N]): void;
}

/** The thing, or a Problem that says which kind of thing is not there. */
export function found<T>(thing: T | null, what: string, id: string): T {
  if (thing === null)
    throw new Problem('not-found', `There is no ${what} '${id}'.`, 'It may have been removed; look at the list again.');
  return thing;
}

/** Starts a job whose progress is told to everyone. */
export function startReported(context: HostContext, spec: JobSpec, subjectId: string | null, options: JobOptions = {}): Job {
  const job: Job = context.supervisor.start(spec, {
    ...options,
    onMessage: (message) => {
      if (message.type === 'progress')
        context.emit('job.progress', { jobId: job.id, kind: spec.kind, subjectId, progress: message.progress });
      options.onMessage?.(message);
    },
  });
  return job;
}
