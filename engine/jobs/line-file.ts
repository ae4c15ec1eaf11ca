/**
 * Adds to and reads a file of JSON values, one per line, to which one process adds while others read. A line counts once it has
 * its end, so a reader that continues from a byte finds whole values only, even when the writer was killed while writing one.
 */
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { withFile } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';

const newline = 0x0a;
/** Gives the number of bytes that are read at once; a longer line is read in larger pieces, up to `longestLine`. */
const pieceBytes = 1 << 20;
const longestLine = 1 << 24;

export class LineFile {
  readonly #path: string;
  readonly #descriptor: number;

  /** Opens the file to add to it, and makes it if it does not exist. A last line that was never finished is removed. */
  constructor(path: string) {
    this.#path = path;
    try {
      if (existsSync(path)) cutUnfinished(path);
      this.#descriptor = openSync(path, 'a');
    } catch (cause) {
      throw toWriteProblem(path, cause);
    }
  }

  /** Adds a line. Throws a `Problem` when the disk takes no more, or the file was removed or replaced. */
  add(value: unknown): void {
    this.#requireThere();
    try {
      writeSync(this.#descriptor, JSON.stringify(value) + '\n');
    } catch (cause) {
      throw toWriteProblem(this.#path, cause);
    }
  }

  /** Throws when the file was removed or replaced: the system would accept writes to a file without a name. */
  #requireThere(): void {
    const named = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    const open = fstatSync(this.#descriptor, { bigint: true });
    if (named?.ino !== open.ino) throw removedMeanwhile(this.#path);
  }

  /** Writes everything that was added to the disk, so that it survives a power cut. */
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

/** Returns the position after the last whole line of a file of `size` bytes. */
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
  /** Lists the values of the lines; undefined for a line that is not JSON. */
  readonly values: readonly unknown[];
  /** Gives the position in bytes to continue from. */
  readonly position: number;
  /** Says whether the file holds more than was read at once. */
  readonly more: boolean;
}

/**
 * Reads about a megabyte of whole lines from the position `from`; none when the file does not exist. A file that is shorter
 * than `from`, because a power loss took its end, is continued from its last whole line. Throws a `Problem` for a line that
 * never ends.
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
          'A run does not write such lines. Start the run again in another folder.',
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
