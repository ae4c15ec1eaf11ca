/** Writes JSON Lines: an object on each line. */
import type { AtomicFile } from '../../formats/files.ts';
import type { RowWriter } from './writer.ts';

const charactersAtOnce = 1 << 20;

export class JsonLinesWriter implements RowWriter {
  readonly #file: AtomicFile;
  #text = '';

  constructor(file: AtomicFile) {
    this.#file = file;
  }

  write(row: Readonly<Record<string, unknown>>): void {
    this.#text += `${JSON.stringify(row)}\n`;
    if (this.#text.length >= charactersAtOnce) this.end();
  }

  end(): void {
    this.#file.write(Buffer.from(this.#text));
    this.#text = '';
  }
}
