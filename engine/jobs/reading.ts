/** Follows the reading of rows: reports progress, and ends the reading when nobody waits for it any more. */
import type { Progress } from '../contract.ts';
import type { RecordPlace } from '../data/readers/reader.ts';
import { positionOf, type ReadingPosition } from '../data/row.ts';
import { sizeOf, stampOf } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';

const millisecondsBetweenReports = 100;

type Follow = (position: ReadingPosition) => void;

interface Follower {
  readonly phase: string;
  readonly isStopped: () => boolean;
  readonly report: (progress: Progress) => void;
  /** Gives the milliseconds between two reports; 0 reports each group of rows before it is worked on. */
  readonly every?: number;
}

export function followReading({ phase, isStopped, report, every = millisecondsBetweenReports }: Follower): Follow {
  const started = performance.now();
  let reported = -Infinity;
  return (position) => {
    if (isStopped()) throw stoppedReading();
    const now = performance.now();
    if (now - reported < every) return;
    reported = now;
    report(readingProgress(phase, position, (now - started) / 1000));
  };
}

/** Follows a job that reads one file record by record. */
export function followFile(
  phase: string,
  file: string,
  port: Pick<JobPort, 'send' | 'stopRequested'>,
): (place: RecordPlace) => void {
  const follow = followJob(phase, port);
  const totalBytes = sizeOf(file);
  let rows = 0;
  return (place) => follow(positionOf({ rows: rows++, before: 0, totalBytes, file }, place));
}

/** Reports as the progress of the job itself, and ends with the job. */
export function followJob(phase: string, port: Pick<JobPort, 'send' | 'stopRequested'>): Follow {
  return followReading({
    phase,
    isStopped: () => port.stopRequested,
    report: (progress) => port.send({ type: 'progress', progress }),
  });
}

/** Reads files, and refuses the result if they were written meanwhile, because it would be of both versions. */
export async function readUnchanged<T>(paths: readonly string[], read: () => Promise<T>): Promise<T> {
  const before = stampOf(paths);
  const result = await read();
  if (stampOf(paths) === before) return result;
  throw new Problem(
    'data-invalid',
    `${paths.length === 1 ? `${paths[0]} was` : `One of ${paths.join(', ')} was`} changed while it was being read.`,
    'Wait until nothing writes to it, then try again.',
  );
}

export function stoppedReading(): Problem {
  return new Problem('stopped', 'Reading the rows was stopped.', 'Start it again.');
}

function readingProgress(phase: string, { rows, bytes, totalBytes, ...at }: ReadingPosition, seconds: number): Progress {
  const secondsLeft = bytes === 0 ? null : (seconds / bytes) * (totalBytes - bytes);
  return { phase, done: bytes, total: totalBytes, unit: 'bytes', secondsLeft, rows, at };
}
