/** Reports the progress of jobs. */
import { setImmediate } from 'node:timers/promises';
import type { OnProgress } from '../export/progress.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';

/** Reports which part of its work a job begins when nothing in that part can be counted. */
export function reportPhase(port: JobPort, phase: string): void {
  port.send({ type: 'progress', progress: { phase, done: 0, total: 0, unit: '', secondsLeft: null } });
}

/** Returns a function that reports progress and lets a request to stop arrive; a stop ends the work with a Problem. */
export function progressReporter(port: JobPort, phase: string, unit: string): OnProgress {
  const started = performance.now();
  let last = 0;
  return async (done, total) => {
    await setImmediate();
    if (port.stopRequested)
      throw new Problem('stopped', 'The work was stopped. No partial files were kept.', 'Start it again.');
    const now = performance.now();
    if (done > 0 && now - last < 200) return;
    last = now;
    port.send({
      type: 'progress',
      progress: { phase, done, total, unit, secondsLeft: done === 0 ? null : ((now - started) / 1000 / done) * (total - done) },
    });
  };
}

/** Reports progress of what is done with all rows once they are read, which takes seconds for a million rows. */
export const onRows = (port: JobPort): OnProgress => progressReporter(port, 'Preparing the rows', 'rows');
