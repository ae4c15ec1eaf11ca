/** Progress of work that is counted: rows, tensors, matrices. */
import { setImmediate } from 'node:timers/promises';
import type { Step } from '../export/progress.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';

/** Reports progress and lets a stop arrive; a stop ends the work. */
export function stepOf(port: JobPort, phase: string, unit: string): Step {
  const started = performance.now();
  let last = 0;
  return async (done, total) => {
    await setImmediate();
    if (port.stopRequested)
      throw new Problem('stopped', 'The work was stopped; nothing half-written was kept.', 'Start it again when you like.');
    const now = performance.now();
    if (done > 0 && now - last < 200) return;
    last = now;
    port.send({
      type: 'progress',
      progress: { phase, done, total, unit, secondsLeft: done === 0 ? null : ((now - started) / 1000 / done) * (total - done) },
    });
  };
}
