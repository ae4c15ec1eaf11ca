/**
 * Measures the time that a thread beside this one has worked, so that limits on it hold on a busy machine and in a process that
 * was paused.
 */

/** A longer interval between two measurements does not count, because the process was suspended, or too busy to measure. */
const longestSliceMs = 1000;
/** A thread with less than this share of the processor has nothing to do, or is dead. */
const idleShare = 0.05;

/** Counts the processor time of the process from one measurement to the next, at most that of one thread. */
export class WorkTime {
  #at = performance.now();
  #cpu = processorMs();
  #spent = 0;
  #idle = 0;

  look(): void {
    const [now, cpu] = [performance.now(), processorMs()];
    const elapsed = Math.min(now - this.#at, longestSliceMs);
    const used = Math.min(cpu - this.#cpu, elapsed);
    this.#spent += used;
    this.#idle = used < idleShare * elapsed ? this.#idle + elapsed : 0;
    [this.#at, this.#cpu] = [now, cpu];
  }

  /** Returns the processor time in milliseconds at the last measurement. */
  get spent(): number {
    return this.#spent;
  }

  /** Returns for how many milliseconds up to the last measurement nothing was done. */
  get idle(): number {
    return this.#idle;
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
