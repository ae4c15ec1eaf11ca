/** Keeps what people should be told about their database in a file of the data folder, until it has been shown. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/files.ts';
import type { ProblemValue } from '../problem.ts';

/** Limits the notices that are kept. Older ones are dropped, but stay in the log. */
const mostKept = 20;

export class Notices {
  readonly #path: string;
  #untold: ProblemValue[];
  #onAdded: () => void = () => {};

  constructor(dataDir: string) {
    this.#path = join(dataDir, 'notices.json');
    this.#untold = read(this.#path);
  }

  /** Calls `listener` when there is something new to tell. */
  onAdded(listener: () => void): void {
    this.#onAdded = listener;
  }

  /** Writes a problem to the log, and keeps it for the next client that asks. */
  add(problem: ProblemValue): void {
    if (this.#untold.some(({ message }) => message === problem.message)) return;
    console.error(`${new Date().toISOString()} ${problem.code}: ${problem.message} ${problem.hint}`);
    this.#untold = [...this.#untold, problem].slice(-mostKept);
    this.#keep();
    this.#onAdded();
  }

  /** Returns the notices that have not been shown yet, and forgets them. */
  take(): readonly ProblemValue[] {
    const untold = this.#untold;
    this.#untold = [];
    if (untold.length > 0) this.#keep();
    return untold;
  }

  #keep(): void {
    try {
      if (this.#untold.length === 0) rmSync(this.#path, { force: true });
      else writeFileAtomic(this.#path, JSON.stringify(this.#untold));
    } catch (error) {
      // They are told from memory then.
      console.error(`${this.#path} cannot be written: ${(error as Error).message}`);
    }
  }
}

function read(path: string): ProblemValue[] {
  if (!existsSync(path)) return [];
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as unknown;
    return Array.isArray(value) ? (value as ProblemValue[]).filter((one) => typeof one?.message === 'string') : [];
  } catch {
    // The log has its content too.
    return [];
  }
}
