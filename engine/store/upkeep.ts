/**
 * Maintains the database while a host runs. Once a day it is copied and the copy fully checked, in a thread of its own, so that
 * neither a request nor a report of a run waits for it.
 */
import { Worker } from 'node:worker_threads';
import { isBackedUp } from './backups.ts';
import { lastHealed } from './heal.ts';
import type { ProblemValue } from '../problem.ts';
import type { Store } from './open.ts';

/** Holds what the thread found. */
export interface UpkeepResult {
  /** Says what is wrong with the database, or is null when it is sound. */
  readonly damage: string | null;
  /** Says why there is no new copy, or is null when there is one. */
  readonly failure: ProblemValue | null;
}

/** Gives the wait, in milliseconds, before the first check, so that the client that started the host is answered first. */
const firstLookMilliseconds = 2000;
const nextLookMilliseconds = 3_600_000;

export class Upkeep {
  readonly #dataDir: string;
  readonly #store: Pick<Store, 'notices' | 'reportDamage'>;
  #timer: NodeJS.Timeout;
  #work: Promise<void> | null = null;

  constructor(dataDir: string, store: Pick<Store, 'notices' | 'reportDamage'>) {
    this.#dataDir = dataDir;
    this.#store = store;
    this.#timer = setTimeout(() => void this.look(), firstLookMilliseconds).unref();
  }

  /** Says whether a copy is being made. */
  get busy(): boolean {
    return this.#work !== null;
  }

  /** Copies and checks the database unless that was done today, and resolves when it is done. */
  async look(): Promise<void> {
    clearTimeout(this.#timer);
    this.#work ??= this.#backUpUnlessDone();
    await this.#work;
    this.#work = null;
    this.#timer = setTimeout(() => void this.look(), nextLookMilliseconds).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #backUpUnlessDone(): Promise<void> {
    try {
      if (isBackedUp(this.#dataDir, new Date(), lastHealed(this.#dataDir))) return;
      const { damage, failure } = await runThread(this.#dataDir);
      if (damage !== null) this.#store.reportDamage(damage);
      if (failure !== null)
        this.#store.notices.add({ ...failure, message: `The database could not be backed up today: ${failure.message}` });
    } catch (error) {
      console.error(error);
    }
  }
}

function runThread(dataDir: string): Promise<UpkeepResult> {
  return new Promise((done, fail) => {
    const worker = new Worker(new URL('./upkeep-thread.ts', import.meta.url), { workerData: { dataDir } });
    let result: UpkeepResult | null = null;
    worker.on('message', (message: UpkeepResult) => (result = message));
    worker.on('error', fail);
    worker.on('exit', () =>
      result === null ? fail(new Error('the maintenance thread ended without a result')) : done(result),
    );
    worker.unref();
  });
}
