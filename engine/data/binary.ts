/** Holds bytes of a table that are no text: pictures, sounds, hashes. */

/** Holds a value of bytes. JSON has it as base64, and Parquet as the bytes. */
export class Binary {
  /** Gives the number of bytes. */
  readonly bytes: number;
  readonly #content: Buffer;

  constructor(content: Buffer) {
    this.#content = content;
    this.bytes = content.length;
  }

  get content(): Buffer {
    return this.#content;
  }

  toJSON(): string {
    return this.#content.toString('base64');
  }
}
