/** Reads a file of text or Markdown as one document, which is one row. */
import { dataFiles } from '../../data-files.ts';
import { isBlank, linesIn } from './bytes.ts';
import { maxRecordBytes, notUtf8, readSplit, recordProblem, type Splitter } from './record.ts';
import type { Reader, RecordOrProblem, RecordPlace } from './reader.ts';

const newline = 0x0a;
const decoder = new TextDecoder('utf-8', { fatal: true });

export const document: Reader = {
  recognise: ({ ending }) => (dataFiles.text.endings as readonly string[]).includes(ending),
  describe: () => 'text, one document',
  read: (source, reading) => readSplit(source, reading, new DocumentSplitter(source.path, reading.from ?? null)),
};

/** Splits a document longer than `maxRecordBytes` into several rows of whole lines. */
class DocumentSplitter implements Splitter {
  readonly #path: string;
  #line: number;
  #at: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(path: string, from: RecordPlace | null) {
    this.#path = path;
    this.#line = from?.line ?? 1;
    this.#at = from?.at ?? 0;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    if (this.#bytes === 0) this.#at = before;
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    while (this.#bytes > maxRecordBytes) {
      const all = Buffer.concat(this.#parts);
      const end = all.lastIndexOf(newline, maxRecordBytes - 1) + 1 || boundary(all, maxRecordBytes);
      yield this.#record(all.subarray(0, end));
      this.#parts = [all.subarray(end)];
      this.#bytes = all.length - end;
    }
  }

  *end(): Generator<RecordOrProblem> {
    const all = Buffer.concat(this.#parts);
    if (!all.every(isBlank)) yield this.#record(all);
  }

  #record(bytes: Buffer): RecordOrProblem {
    const place = { line: this.#line, at: this.#at, bytes: bytes.length };
    this.#line += linesIn(bytes);
    this.#at += bytes.length;
    try {
      return { ...place, value: { text: decoder.decode(bytes) } };
    } catch {
      const { what, hint } = notUtf8(bytes, place.at);
      return recordProblem(this.#path, place, { what: what.replace('the row', 'the text'), hint, content: bytes });
    }
  }
}

/** Returns the last position before `at` at which a character begins. */
function boundary(bytes: Buffer, at: number): number {
  let end = at;
  while (end > at - 4 && (bytes[end]! & 0xc0) === 0x80) end--;
  return end;
}
