/**
 * A file of JSON values, one a line, to which one process adds while others read. A line counts once its end is there, so whoever reads
 * goes on from a byte and finds only whole values, also when the writer was killed in the midst of one.
 */
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { withFile } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';

const newline = 0x0a;
/** What is read at once, and where there is no whole line in that, at most. */
const pieceBytes = 1 << 20;
const longestLine = 1 << 24;

export class LineFile {
  readonly #path: string;
  readonly #descriptor: number;

  /** Opens the file to add to it, and makes it where it is not there. A last line that was never finished is cut off. */
  constructor(path: string) {
    this.#path = path;
    try {
      if (existsSync(path)) cutUnfinished(path);
      this.#descriptor = openSync(path, 'a');
    } catch (cause) {
      throw toWriteProblem(path, cause);
    }
  }

  /** Adds a line. Throws a Problem where the disk takes no more, or the file was removed or replaced. */
  add(value: unknown): void {
    this.#requireThere();
    try {
      writeSync(this.#descriptor, JSON.stringify(value) + '\n');
    } catch (cause) {
      throw toWriteProblem(this.#path, cause);
    }
  }

  /** The system goes on taking what is written to a file that has no name any more. */
  #requireThere(): void {
    const named = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    const open = fstatSync(this.#descriptor, { bigint: true });
    if (named?.ino !== open.ino) throw removedMeanwhile(this.#path);
  }

  /** Returns when all that was added would survive a power cut. */
  flush(): void {
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function cutUnfinished(path: string): void {
  const descriptor = openSync(path, 'r+');
  try {
    const { size } = fstatSync(descriptor);
    const whole = endOfWholeLines(descriptor, size);
    if (whole < size) ftruncateSync(descriptor, whole);
  } finally {
    closeSync(descriptor);
  }
}

/** The byte after the last whole line of a file of `size` bytes. */
function endOfWholeLines(descriptor: number, size: number): number {
  const piece = Buffer.alloc(1 << 16);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - piece.length);
    const read = readSync(descriptor, piece, 0, end - start, start);
    const last = piece.subarray(0, read).lastIndexOf(newline);
    if (last >= 0) return start + last + 1;
    end = start;
  }
  return 0;
}

export function removedMeanwhile(path: string): Problem {
  return new Problem(
    'folder-unwritable',
    `'${path}' was removed or replaced while the run was writing to it.`,
    'Put the folder back and resume the run, or start it again.',
  );
}

export interface Lines {
  /** Values of the lines; undefined for one that is no JSON. */
  readonly values: readonly unknown[];
  /** The byte to go on from. */
  readonly position: number;
  /** Whether the file holds more than was read at once. */
  readonly more: boolean;
}

/**
 * Reads whole lines from the byte `from` on, about a megabyte of them at once; none where the file is not there. A file that
 * is shorter, because a power loss took its end, is gone on with from the end of what it has. Throws a Problem where a line never ends.
 */
export function readLines(path: string, from: number): Lines {
  if (!existsSync(path)) return { values: [], position: from, more: false };
  return withFile(path, (descriptor, size) => {
    const position = from > size ? endOfWholeLines(descriptor, size) : from;
    for (let length = pieceBytes; ; length *= 4) {
      const piece = Buffer.alloc(Math.max(0, Math.min(length, size - position)));
      const read = readSync(descriptor, piece, 0, piece.length, position);
      const end = piece.subarray(0, read).lastIndexOf(newline) + 1;
      if (end === 0 && read === length && length < longestLine) continue;
      if (end === 0 && read === length)
        throw new Problem(
          'file-damaged',
          `'${path}' has a line of more than ${longestLine} bytes.`,
          'It is not as a run writes it: start the run again in another folder.',
        );
      const lines = piece.toString('utf8', 0, end).split('\n').slice(0, -1);
      const next = position + end;
      return { values: lines.map(parse), position: next, more: end > 0 && size - next > 0 && read === length };
    }
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
