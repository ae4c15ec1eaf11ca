/** Asks the system about a process of this machine. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessStatus {
  /**
   * Says how the process is. `halted` means that it is suspended until somebody lets it continue; `ended` means that only its
   * parent has not noticed its end yet.
   */
  readonly state: 'alive' | 'halted' | 'ended';
  /** Says when it started, as the system writes it, or is null when the system does not say. */
  readonly started: string | null;
}

/** Looks up a process; returns null when there is none, or when the system cannot be asked (Windows). */
export function processStatus(pid: number): ProcessStatus | null {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // proc(5): fields after the name in parentheses start at 3; 22 is the start time in ticks since boot.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return { state: stateOf(fields[0] ?? ''), started: fields[19] ?? null };
    }
    if (process.platform === 'darwin') {
      // Processes with different languages or time zones must read the same.
      const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
      const said = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8', env }).trim();
      return { state: stateOf(said), started: said.replace(/^\S+\s+/, '') || null };
    }
  } catch {
    // There is no such process.
  }
  return null;
}

/** Reads the state from the letter that proc(5) and ps(1) give: T, and t under a debugger, is halted. */
function stateOf(letter: string): ProcessStatus['state'] {
  if (letter.startsWith('Z')) return 'ended';
  return /^t/i.test(letter) ? 'halted' : 'alive';
}
