/** Holds what every part of the host shares: the store, the jobs, and the way events leave. */
import type { EngineEvents, JobSpec, Progress } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Job, JobOptions, Supervisor } from '../jobs/supervisor.ts';
import type { Store } from '../store/open.ts';
import type { Unsaved } from './unsaved.ts';

/** Describes one connection of a window or command line. */
export interface Client {
  /** Fires when the connection is gone. */
  readonly gone: AbortSignal;
  /** Sends an event to this client alone. */
  readonly tell: <N extends keyof EngineEvents>(name: N, payload: EngineEvents[N]) => void;
}

/** Describes a client that waits for the answer to one request. */
export interface Asker {
  readonly client: Client;
  /** Fires when the client no longer waits: it has cancelled the request, or its connection is gone. */
  readonly signal: AbortSignal;
}

export interface HostContext {
  readonly dataDir: string;
  /** Gives the folder of graphs and other things that can be made again. */
  readonly cacheDir: string;
  readonly store: Store;
  readonly supervisor: Supervisor;
  /** Stores something in the background, where no client waits that could be told of a failure. */
  readonly unsaved: Unsaved;
  /** Sends an event to every client. */
  readonly emit: <N extends keyof EngineEvents>(name: N, payload: EngineEvents[N]) => void;
}

/** Returns the thing, or throws a Problem that says which kind of thing does not exist. */
export function found<T>(thing: T | null, what: string, id: string): T {
  if (thing === null)
    throw new Problem('not-found', `There is no ${what} '${id}'.`, 'It may have been removed. Refresh the list.');
  return thing;
}

interface Asked extends Pick<JobOptions, 'onMessage'> {
  /** Holds the client that waits for the job; the job ends when it no longer waits. */
  readonly asker?: Asker | undefined;
}

/** Starts a job. Its progress is sent to every client as that of the subject, and to the asker as that of its request. */
export function startReported(context: HostContext, spec: JobSpec, subjectId: string | null, asked: Asked = {}): Job {
  const { asker, onMessage } = asked;
  const job: Job = context.supervisor.start(spec, {
    ...(asker === undefined ? {} : { signal: asker.signal }),
    onMessage: (message) => {
      if (message.type === 'progress') {
        const event = { jobId: job.id, kind: spec.kind, progress: message.progress };
        if (subjectId !== null) context.emit('job.progress', { ...event, subjectId });
        asker?.client.tell('job.progress', { ...event, subjectId: null });
      }
      onMessage?.(message);
    },
  });
  return job;
}

/** Gives the silence in seconds after which reading a file is considered stuck. */
export const silenceSeconds = 60;

/** Runs a job that reads `path`. It may take any time, as long as it makes progress. */
export async function runReader<T>(
  context: HostContext,
  spec: JobSpec,
  path: string,
  { silentSeconds = silenceSeconds, asker }: Pick<Asked, 'asker'> & { readonly silentSeconds?: number } = {},
): Promise<T> {
  let at: Progress['at'];
  let isSilent = false;
  const onMessage: JobOptions['onMessage'] = (message) => {
    // Nothing else counts, because a process may be alive and loop for ever.
    if (message.type !== 'progress') return;
    timer.refresh();
    at = message.progress.at;
  };
  const job = startReported(context, spec, null, { asker, onMessage });
  const timer = setTimeout(() => {
    isSilent = true;
    job.kill();
  }, silentSeconds * 1000);
  try {
    return (await job.finished) as T;
  } catch (error) {
    if (!isSilent) throw error;
    const where = at === undefined ? path : `${at.file}, line ${at.firstLine}`;
    throw new Problem(
      'file-unreadable',
      `Reading ${where} made no progress for ${silentSeconds} seconds and was abandoned.`,
      'The file may be damaged, or its disk may not be responding. Download it again, or copy it to this computer.',
    );
  } finally {
    clearTimeout(timer);
  }
}
