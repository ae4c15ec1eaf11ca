/** Words the Problems of jobs that end without a result: those that crashed, hung, fell silent or were stopped. */
import type { JobSpec, Progress } from '../contract.ts';
import { Problem } from '../problem.ts';

/** Gives the rows that a job was at when it last reported progress, or undefined when it reported none. */
export type At = Progress['at'];

/** Says how a process ended. `lastWords` is the end of its error output. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lastWords: string;
}

/** Names the processes of each kind of job as people know them. */
const processNames: Record<JobSpec['kind'], string> = {
  train: 'training',
  evaluate: 'evaluation',
  compare: 'evaluation',
  chat: 'chat',
  data: 'data preview',
  export: 'export',
  identify: 'identification',
  describe: 'adapter reading',
  updates: 'adapter measuring',
  matrix: 'matrix merging',
  mix: 'adapter mixing',
  trial: 'device test',
  inspect: 'inspection',
  losses: 'reading of losses',
  columns: 'column reading',
  scan: 'data reading',
  look: 'row reading',
  'write-rows': 'row writing',
};

/** Matches what programs print when their memory has run out: V8, C++ and Rust. */
const heapExhausted = /JavaScript heap out of memory/;
const memoryExhausted = /std::bad_alloc|memory allocation of \d+ bytes failed|Fatal process out of memory/;
const handlesExhausted = /\bE[MN]FILE\b|[Tt]oo many open files/;

/** Makes the Problem of a job whose process ended without a result. */
export function crashed(kind: JobSpec['kind'], { code, signal, lastWords }: ProcessEnd, at: At): Problem {
  const process = `The ${processNames[kind]} process`;
  const smaller =
    kind === 'train'
      ? 'start a new run with fewer or shorter rows, a smaller batch, or a smaller maximum length'
      : 'use fewer or shorter rows, or split the file';
  if (heapExhausted.test(lastWords))
    return new Problem(
      'out-of-memory',
      `${process} ran out of memory for its data and results: it reached the limit of a single process.${lastReported(at)}`,
      `More memory in the computer may not help. Instead, ${smaller}.`,
    );
  if (memoryExhausted.test(lastWords))
    return new Problem(
      'out-of-memory',
      `${process} asked for more memory than the computer has.${lastReported(at)}`,
      `Close other programs that use a lot of memory, or ${smaller}.`,
    );
  if (handlesExhausted.test(lastWords))
    return new Problem(
      'job-crashed',
      `${process} could not start or continue, because the system allows the studio no more open files.`,
      `Raise the limit (ulimit -n), or close programs that have many files open. ${retry(kind)}.`,
    );
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  return new Problem('job-crashed', `${process} ended unexpectedly (${how}).${lastReported(at)}`, hintFor(kind, signal, at));
}

function hintFor(kind: JobSpec['kind'], signal: string | null, at: At): string {
  const log = 'The log in the data folder may say more.';
  switch (signal) {
    case 'SIGABRT':
    case 'SIGSEGV': {
      const rows = at === undefined ? 'check the data' : 'check the rows from there on';
      return `A library it uses crashed; a damaged tokenizer can cause that. Download the model again, and ${rows}. ${log}`;
    }
    case 'SIGBUS':
      return `A file it was reading was truncated, or the disk failed. Most likely it was the file of the model's weights: restore it. ${retry(kind)}.`;
    case 'SIGKILL':
      return kind === 'train'
        ? 'The system may have ended it because memory ran out. Close other programs that use a lot of memory, then resume the run, or start a new one with a smaller batch or maximum length.'
        : 'The system may have ended it because memory ran out. Close other programs that use a lot of memory, then try again.';
    default:
      return `${retry(kind)}. ${log}`;
  }
}

/** Makes the Problem of a job whose process gave no sign of life and was killed. */
export function hung(kind: JobSpec['kind'], seconds: number, at: At): Problem {
  return new Problem(
    'job-crashed',
    `The ${processNames[kind]} process gave no sign of life for ${Math.round(seconds)} seconds and was ended.${lastReported(at)}`,
    `${retry(kind)}. The process may have been suspended, or a disk or driver may not be responding.`,
  );
}

/** Makes the Problem of a request that made no progress; its job is killed. */
export function silent(seconds: number, at: At): Problem {
  const where = at === undefined ? '' : ` It had reached ${placeOf(at)}.`;
  return new Problem(
    'template-failed',
    `Preparing the rows made no progress for ${seconds} seconds and was abandoned.${where}`,
    at === undefined
      ? 'The chat template or a row may be the cause. Try fewer or shorter rows.'
      : 'Check the rows that start there. The chat template may also be the cause.',
  );
}

/** Makes the Problem of a request to a job that has ended. */
export function hasEnded(): Problem {
  return new Problem('stopped', 'The job has already ended.', 'Try again.');
}

/** Makes the Problem of what was stopped before it was finished. */
export function stopped(): Problem {
  return new Problem('stopped', 'It was stopped before it finished.', 'Start it again.');
}

const retry = (kind: JobSpec['kind']): string => (kind === 'train' ? 'Resume the run from its last checkpoint' : 'Try again');

/** Names the rows that a job was at. Jobs do not report every row, so it may have been a little further. */
const lastReported = (at: At): string => (at === undefined ? '' : ` The last rows it reported were ${placeOf(at)}.`);

const placeOf = ({ file, firstLine, lastLine }: NonNullable<At>): string =>
  firstLine === lastLine ? `${file}, line ${firstLine}` : `${file}, lines ${firstLine} to ${lastLine}`;
