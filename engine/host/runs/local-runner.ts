/**
 * Computes runs in processes of this machine. Such a process ends with its host; a process that outlived its host belongs to
 * nobody, and is ended.
 */
import type { Supervisor } from '../../jobs/supervisor.ts';
import { isAlive, type ProcessIdentity, processIdentity } from '../lock.ts';
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
      identity: job.pid === undefined ? null : processIdentity(job.pid),
      finished: job.finished,
      stop: () => job.stop(),
      kill: () => job.kill(),
    };
  }

  end(identity: object): void {
    // Where the system does not tell when a process started, another one may have its number.
    if (!isIdentity(identity) || identity.started === null || !isAlive(identity)) return;
    try {
      process.kill(identity.pid, 'SIGKILL');
    } catch {
      // It has just ended by itself.
    }
  }
}

const isIdentity = (identity: object): identity is ProcessIdentity => 'pid' in identity && 'started' in identity;
