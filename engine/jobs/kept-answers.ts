/**
 * Keeps what was computed for an evaluation, line by line, so that a stopped one goes on where it was. Each value has a key of
 * all that it depends on, so a value is used again only for the very same question to the very same model.
 */
import { createHash } from 'node:crypto';
import { LineFile, readLines } from './line-file.ts';

export class KeptAnswers {
  readonly #known = new Map<string, unknown>();
  readonly #file: LineFile | null;

  /** Opens the file at `path` and makes it if it does not exist; with null nothing is kept. */
  constructor(path: string | null) {
    this.#file = path === null ? null : new LineFile(path);
    if (path === null) return;
    for (let position = 0, more = true; more;) {
      const lines = readLines(path, position);
      for (const line of lines.values as readonly ({ key?: unknown; value?: unknown } | null | undefined)[])
        if (typeof line?.key === 'string' && line.value !== undefined) this.#known.set(line.key, line.value);
      ({ position, more } = lines);
    }
  }

  /** Returns what is kept of a question, or computes it and keeps it. `of` is all that the value depends on, as JSON. */
  async get<T>(of: unknown, compute: () => Promise<T>): Promise<T> {
    const known = this.find<T>(of);
    if (known !== undefined) return known;
    const key = keyOf(of);
    const value = await compute();
    this.#known.set(key, value);
    this.#file?.add({ key, value });
    return value;
  }

  /** Returns what is kept of a question, or undefined. */
  find<T>(of: unknown): T | undefined {
    return this.#known.get(keyOf(of)) as T | undefined;
  }

  close(): void {
    this.#file?.close();
  }
}

function keyOf(of: unknown): string {
  return createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 32);
}
