/** Time that a thread beside this one has worked: limits on it hold wherever it runs, on a busy machine or a process that was paused. */

/** Between two looks nothing longer counts: meanwhile the process was halted, or was itself too busy to look. */
const longestSliceMs = 1000;
/** A thread that has less of the processor than this share has nothing to do, or is gone. */
const idleShare = 0.05;

/** Counts what the process spends of the processor, at most that of one thread, from look to look. */
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

  /** Milliseconds of the processor's time at the last look. */
  get spent(): number {
    return this.#spent;
  }

  /** Milliseconds up to the last look in which nothing was done. */
  get idle(): number {
    return this.#idle;
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
