/** Reads JSON Lines: one object on each line. Blank lines between them are skipped. */
import { isBlank } from './bytes.ts';
import { jsonShape } from './json-shape.ts';
import { JsonRecord } from './json-text.ts';
import { readSplit, type Splitter } from './record.ts';
import type { Reader, Reading, RecordOrProblem } from './reader.ts';

const newline = 0x0a;

export const jsonLines: Reader = {
  recognise: (source) => jsonShape(source)?.kind === 'lines',
  describe: () => 'JSONL',
  read: (source, reading) => readSplit(source, reading, new LineSplitter(source.path, reading)),
};

class LineSplitter implements Splitter {
  readonly #record: JsonRecord;
  readonly #passOver: { rows: number };
  #line: number;

  constructor(path: string, { from, passOver = { rows: 0 } }: Reading) {
    this.#passOver = passOver;
    this.#record = new JsonRecord(path);
    this.#line = from?.line ?? 1;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    let start = this.#passBlankLines(bytes, 0, before);
    for (let at = bytes.indexOf(newline, start); at >= 0; at = bytes.indexOf(newline, start)) {
      this.#record.add(bytes.subarray(start, at));
      yield* this.end();
      this.#line++;
      start = this.#passBlankLines(bytes, at + 1, before);
    }
    this.#record.add(bytes.subarray(start));
  }

  *end(): Generator<RecordOrProblem> {
    if (this.#passOver.rows === 0) yield* this.#record.end();
    else if (this.#record.pass()) this.#passOver.rows--;
  }

  /**
   * Returns the position of the next line that is not blank, if `from` is the beginning of a line. Inside a line nothing is
   * skipped.
   */
  #passBlankLines(bytes: Buffer, from: number, before: number): number {
    if (!this.#record.isEmpty) return from;
    let start = from;
    for (let at = from; at < bytes.length && isBlank(bytes[at]!); at++)
      if (bytes[at] === newline) {
        this.#line++;
        start = at + 1;
      }
    this.#record.begin({ line: this.#line, at: before + start });
    return start;
  }
}
