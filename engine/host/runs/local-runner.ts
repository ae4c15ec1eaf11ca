/**
 * Computes runs in processes of this machine. Such a process ends with its host; a process that outlived its host belongs to
 * nobody, and is ended.
 */
import type { Supervisor } from '../../jobs/supervisor.ts';
import { isAlive, type ProcessIdentity, processIdentity } from '../../lock.ts';
import type { RunHandle, RunListener, Runner, RunnerSpec } from './runner.ts';

export class LocalRunner implements Runner {
  readonly #supervisor: Supervisor;
  readonly #cacheDir: string;

  constructor(supervisor: Supervisor, cacheDir: string) {
    this.#supervisor = supervisor;
    this.#cacheDir = cacheDir;
  }

  start(spec: RunnerSpec, folder: string, { onWritten, onProgress }: RunListener): RunHandle {
    const job = this.#supervisor.start(
      { kind: 'train', ...spec, out: folder, cacheDir: this.#cacheDir },
      {
        onMessage: (message) => {
          if (message.type === 'written') onWritten();
          if (message.type === 'progress') onProgress(message.progress);
        },
      },
    );
    return {
      id: job.id,
      identity: identityOf(job.pid),
      finished: job.finished,
      get underway() {
        return job.underway;
      },
      stop: () => job.stop(),
      kill: () => job.kill(),
    };
  }

  end(identity: object): void {
    // Where the system does not tell when a process started, another one may have its id.
    if (!isIdentity(identity) || identity.started === null || !isAlive(identity)) return;
    // It is known here because the data folder was copied while that host was computing; its run continues.
    if (identity.host !== undefined && identity.host.pid !== process.pid && isAlive(identity.host)) return;
    try {
      process.kill(identity.pid, 'SIGKILL');
    } catch {
      // It has just ended by itself.
    }
  }
}

/**
 * Describes a process that computes a run, and the host that it computes it for; identities of an earlier studio do not name
 * that.
 */
interface RunProcess extends ProcessIdentity {
  readonly host?: ProcessIdentity;
}

function identityOf(pid: number | undefined): RunProcess | null {
  const identity = pid === undefined ? null : processIdentity(pid);
  return identity === null ? null : { ...identity, host: processIdentity(process.pid)! };
}

const isIdentity = (identity: object): identity is RunProcess => 'pid' in identity && 'started' in identity;
