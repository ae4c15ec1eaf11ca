/** Resident memory of processes. */
import { readFileSync } from 'node:fs';

/** Bytes the given processes hold in memory together; those that are gone, or cannot be asked here, count 0. */
export function residentBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    if (pid === process.pid) {
      sum += process.memoryUsage.rss();
      continue;
    }
    try {
      // proc(5): VmRSS in kB
      sum += Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    } catch {
      // Gone, or no Linux.
    }
  }
  return sum;
}
