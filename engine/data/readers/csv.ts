/** Reads delimiter-separated values (RFC 4180). The first line names the columns. */
import { isUtf8 } from 'node:buffer';
import { dataFiles } from '../../data-files.ts';
import { Problem, shown } from '../../problem.ts';
import { isBlank, linesIn } from './bytes.ts';
import { parseJson } from './json-text.ts';
import { excerpt, maxRecordBytes, notUtf8, readSplit, recordProblem, type Splitter } from './record.ts';
import type { Reader, Reading, RecordOrProblem, RecordPlace } from './reader.ts';
import type { Source } from './source.ts';

const newline = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x22;

const delimiters = [',', ';', '\t', '|'] as const;
const delimiterNames: Readonly<Record<string, string>> = { '\t': 'tabs' };
/** This many records are examined to find the delimiter. */
const recordsLookedAt = 50;
/** Limits the length of a column name. */
const longestColumn = 80;
/** Lists the columns that hold lists, which programs write into a table as JSON. */
const lists: ReadonlySet<string> = new Set([
  ...['messages', 'conversations', 'prompt', 'completion', 'chosen', 'rejected', 'tools', 'documents'],
  ...['input_ids', 'labels', 'attention_mask'],
]);
const decoder = new TextDecoder('utf-8', { fatal: true });

export const csv: Reader = {
  recognise(source) {
    const { ending } = source;
    if ((dataFiles.csv.endings as readonly string[]).includes(ending)) return true;
    const isOther = [dataFiles.json, dataFiles.jsonl, dataFiles.text].some((format) =>
      (format.endings as readonly string[]).includes(ending),
    );
    if (isOther || source.head.bytes.length === 0) return false;
    const { columns, agreement, records } = layoutOf(source);
    return columns.length > 1 && agreement === 1 && records > 1;
  },
  describe(source) {
    const { delimiter, columns } = layoutOf(source);
    const names = columns.map((name) => `'${shown(name, longestColumn)}'`).join(', ');
    const between = delimiter === null ? '' : ` with ${delimiterNames[delimiter] ?? `'${delimiter}'`} between its values`;
    return `CSV${between}, whose first line names the ${columns.length === 1 ? 'column' : 'columns'} ${names}`;
  },
  read: readTable,
};

async function* readTable(source: Source, reading: Reading): AsyncGenerator<RecordOrProblem> {
  const layout = layoutOf(source);
  if (layout.header.length === 0 && source.head.bytes.every(isBlank)) return;
  requireHeader(source, layout);
  const { next, line } = layout;
  let isEmpty = true;
  for await (const record of readSplit(source, reading, new CsvSplitter(source.path, layout, reading.from ?? next), next.at)) {
    isEmpty = false;
    yield record;
  }
  if (isEmpty && reading.from == null)
    throw new Problem(
      'data-empty',
      `${source.path}, line ${line}: the first line names the columns, and no row follows: ${excerpt(layout.header.toString(), 0)}.`,
      'Give a file with rows.',
    );
}

interface Layout {
  /** Is null where there is only one column. */
  readonly delimiter: string | null;
  readonly newline: number;
  readonly columns: readonly string[];
  /** Holds the line that names the columns, as it is in the file. Is empty where its quotes are not sound or it does not end. */
  readonly header: Buffer;
  readonly line: number;
  /** Gives the place of the first record. */
  readonly next: RecordPlace;
  /** Counts the records that were examined; `agreement` is the share of them with one value for each column. */
  readonly records: number;
  readonly agreement: number;
}

/** Returns the layout of a table, judged by its beginning. */
function layoutOf({ head, ending }: Source): Layout {
  const { bytes, isWhole } = head;
  const end = bytes.includes(newline) || !bytes.includes(carriageReturn) ? newline : carriageReturn;
  // A spreadsheet program may state its delimiter in a line of its own.
  const said = /^sep=(.)\r?\n/i.exec(bytes.toString('latin1', 0, 8));
  const start = said?.[0].length ?? 0;
  const layouts = [null, ...delimiters].map((delimiter): Layout => {
    const counts: number[] = [];
    let header: Buffer = Buffer.alloc(0);
    let next = bytes.length;
    for (let from = start; from < bytes.length && counts.length < recordsLookedAt;) {
      const found = recordIn(bytes, from, { delimiter, newline: end, isLast: isWhole });
      if (found === null || 'fault' in found) break;
      const record = bytes.subarray(from, found.end);
      const text = record.toString();
      if (text.trim() !== '') {
        if (counts.length === 0) [header, next] = [record, found.next];
        counts.push(valuesOf(text, delimiter).length);
      }
      from = found.next;
    }
    const columns = valuesOf(header.toString(), delimiter).map((name, i) => name.trim() || `column ${i + 1}`);
    return {
      ...{ delimiter, newline: end, columns, header },
      line: head.line + (said === null ? 0 : 1),
      next: { at: head.at + next, line: head.line + linesIn(bytes.subarray(0, next)) },
      records: counts.length,
      agreement: counts.filter((count) => count === columns.length).length / Math.max(1, counts.length),
    };
  });
  const [single, ...split] = layouts;
  const named = split.find(({ delimiter }) => delimiter === (said?.[1] ?? (ending === 'tsv' ? '\t' : undefined)));
  if (named !== undefined && named.columns.length > 1) return named;
  const [best] = split
    .filter(({ columns }) => columns.length > 1)
    .toSorted((a, b) => b.agreement - a.agreement || b.columns.length - a.columns.length);
  return best ?? single!;
}

/** Throws a `Problem` where the first line does not name the columns, each by a different name. */
function requireHeader({ path, head }: Source, { columns, header, line, newline: end }: Layout): void {
  const where = `${path}, line ${line}`;
  if (header.length === 0) {
    const found = recordIn(head.bytes, 0, { delimiter: null, newline: end, isLast: head.isWhole });
    const what =
      found === null
        ? `the first line, which is to name the columns, has more than ${head.bytes.length / 1024} KB`
        : !('fault' in found)
          ? 'no line names the columns'
          : found.fault === 'unclosed'
            ? 'a quote is opened in the first line and never closed'
            : 'behind the quote that closes a name in the first line stands more text';
    const text = head.bytes.toString('utf8', 0, 4096);
    throw new Problem('data-invalid', `${where}: ${what}: ${excerpt(text, 0)}.`, 'Correct the names of the columns.');
  }
  if (!isUtf8(header) || header.includes(0)) {
    const at = head.at + header.byteOffset - head.bytes.byteOffset;
    const { what, hint } = header.includes(0) ? nulByte(header, at) : notUtf8(header, at);
    throw new Problem('data-invalid', `${where}: ${what.replace('the row', 'the first line')}.`, hint);
  }
  const names = new Set<string>();
  const twice = columns.find((name) => names.size === names.add(name).size);
  if (twice !== undefined)
    throw new Problem(
      'data-invalid',
      `${where}: two columns are called '${shown(twice, longestColumn)}': ${excerpt(header.toString(), 0)}.`,
      'Give each column a name of its own in the first line.',
    );
  const isValue = (name: string) =>
    name.length > longestColumn || /[\r\n]/.test(name) || /\S\s.*[.?!]$/.test(name) || /^[-+]?\d+([.,]\d+)?$/.test(name);
  if (columns.some(isValue))
    throw new Problem(
      'data-invalid',
      `${where}: the first line is to name the columns, and looks like a row: ${excerpt(header.toString(), 0)}.`,
      "Write a line before it that names them, such as 'question,answer'.",
    );
}

type Found =
  /** Gives the positions after the record and after the end of its line. */
  | { readonly end: number; readonly next: number }
  /** Says what is wrong with its quotes, and at which byte. */
  | { readonly fault: 'unclosed' | 'behind a quote'; readonly at: number };

/** Finds the end of the record that begins at byte `from`. Returns null where the record may continue after `bytes`. */
function recordIn(
  bytes: Buffer,
  from: number,
  {
    delimiter,
    newline: end,
    isLast,
  }: { readonly delimiter: string | null; readonly newline: number; readonly isLast: boolean },
): Found | null {
  const between = delimiter?.charCodeAt(0) ?? -1;
  const ended = (at: number): Found => ({ end: bytes[at - 1] === carriageReturn && at > from ? at - 1 : at, next: at + 1 });
  for (let at = from; ;) {
    if (bytes[at] === quote) {
      const opened = at;
      for (at = bytes.indexOf(quote, at + 1); at >= 0 && bytes[at + 1] === quote; at = bytes.indexOf(quote, at + 2));
      if (at < 0) return isLast ? { fault: 'unclosed', at: opened } : null;
      at++;
      // The next piece shows whether the quote is doubled.
      if (at === bytes.length && !isLast) return null;
      const ends = at === bytes.length || bytes[at] === between || bytes[at] === end;
      if (!ends && !(bytes[at] === carriageReturn && (bytes[at + 1] === end || at + 1 === bytes.length)))
        return { fault: 'behind a quote', at };
    }
    while (at < bytes.length && bytes[at] !== between && bytes[at] !== end) at++;
    if (at >= bytes.length) return isLast ? ended(bytes.length) : null;
    if (bytes[at] === end) return ended(at);
    at++;
  }
}

/** Returns the values of a record whose quotes are correct. */
function valuesOf(text: string, delimiter: string | null): string[] {
  if (!text.includes('"')) return delimiter === null ? [text] : text.split(delimiter);
  const values: string[] = [];
  for (let at = 0; at <= text.length;) {
    if (text[at] === '"') {
      let close = text.indexOf('"', at + 1);
      while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
      if (close < 0) close = text.length;
      values.push(text.slice(at + 1, close).replaceAll('""', '"'));
      at = close + 2;
    } else {
      const found = delimiter === null ? -1 : text.indexOf(delimiter, at);
      const end = found < 0 ? text.length : found;
      values.push(text.slice(at, end));
      at = end + 1;
    }
  }
  return values;
}

class CsvSplitter implements Splitter {
  readonly #path: string;
  readonly #layout: Layout;
  #line: number;
  /** Holds the bytes that are not split yet; `#at` is their place in the file. */
  #rest: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Is true inside a line that is too long, the rest of which is skipped. */
  #passing = false;

  constructor(path: string, layout: Layout, from: RecordPlace) {
    this.#path = path;
    this.#layout = layout;
    this.#line = from.line;
  }

  get line(): number {
    return this.#line;
  }

  *split(bytes: Buffer, before: number): Generator<RecordOrProblem> {
    if (this.#rest.length === 0) this.#at = before;
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    yield* this.#records(false);
  }

  *end(): Generator<RecordOrProblem> {
    yield* this.#records(true);
  }

  *#records(isLast: boolean): Generator<RecordOrProblem> {
    const bytes = this.#rest;
    const { delimiter, newline: end } = this.#layout;
    let from = 0;
    const pass = (to: number): void => {
      this.#line += linesIn(bytes.subarray(from, to));
      from = to;
    };
    const nextLine = (): number => bytes.indexOf(end, from) + 1 || bytes.length;
    while (from < bytes.length) {
      if (this.#passing) {
        this.#passing = !bytes.subarray(from).includes(end);
        pass(nextLine());
        continue;
      }
      const isBlankLine = bytes[from] === end || (bytes[from] === carriageReturn && bytes[from + 1] === end);
      if (isBlankLine) {
        pass(nextLine());
        continue;
      }
      const found = recordIn(bytes, from, { delimiter, newline: end, isLast });
      if (found === null && bytes.length - from <= maxRecordBytes) break;
      const place = { line: this.#line, at: this.#at + from };
      if (found === null || 'fault' in found || found.end - from > maxRecordBytes) {
        // The faulty quote may concern this line only, so the next one is read by itself.
        const next = nextLine();
        yield this.#damaged(bytes.subarray(from, next), place, found === null || 'fault' in found ? found : null, from);
        this.#passing = found === null && next === bytes.length && bytes[next - 1] !== end;
        pass(next);
        continue;
      }
      yield this.#record(bytes.subarray(from, found.end), place, found.next - from);
      pass(Math.min(found.next, bytes.length));
    }
    this.#rest = bytes.subarray(from);
    this.#at += from;
  }

  #damaged(line: Buffer, place: RecordPlace, found: Extract<Found, { fault: unknown }> | null, from: number): RecordOrProblem {
    const text = line.toString('utf8', 0, 4096).trimEnd();
    const doubled = 'Write a quote within a value that is in quotes twice.';
    const problem = (what: string, hint: string) =>
      recordProblem(this.#path, { ...place, bytes: line.length }, { what, hint, content: line });
    const openQuotes = line.toString('latin1').split('"').length % 2 === 0;
    if (found === null && !openQuotes)
      return problem(`the row has more than ${maxRecordBytes / 1024 / 1024} MB`, 'Split it into several rows.');
    if (line.length > maxRecordBytes)
      return problem(
        `a quote is opened and not closed within ${maxRecordBytes / 1024 / 1024} MB, which is the most that a row may have: ${excerpt(text, text.lastIndexOf('"'))}`,
        doubled,
      );
    if (found?.fault === 'behind a quote' && found.at - from <= line.length) {
      const at = Buffer.from(line.subarray(0, found.at - from)).toString().length;
      return problem(`behind the quote that closes a value stands more text: ${excerpt(text, at)}`, doubled);
    }
    return problem(`a quote is opened and never closed: ${excerpt(text, text.lastIndexOf('"'))}`, doubled);
  }

  #record(content: Buffer, place: RecordPlace, bytes: number): RecordOrProblem {
    if (content.includes(0)) {
      return recordProblem(this.#path, { ...place, bytes }, { ...nulByte(content, place.at), content });
    }
    let text: string;
    try {
      text = decoder.decode(content);
    } catch {
      return recordProblem(this.#path, { ...place, bytes }, { ...notUtf8(content, place.at), content });
    }
    const { delimiter, columns } = this.#layout;
    const values = valuesOf(text, delimiter);
    if (values.length !== columns.length) {
      const counted = (count: number) => `${count} ${count === 1 ? 'value' : 'values'}`;
      return recordProblem(
        this.#path,
        { ...place, bytes },
        {
          what: `the row has ${counted(values.length)}, and the first line names ${columns.length} columns: ${excerpt(text, 0)}`,
          hint: `Give it ${counted(columns.length)}; one with ${delimiter === null ? 'a quote' : `'${delimiter}'`} in it is written in quotes.`,
          content,
        },
      );
    }
    return { ...place, bytes, value: Object.fromEntries(columns.map((name, i) => [name, cellOf(name, values[i]!)])) };
  }
}

/** Says where a record that begins at byte `at` of its file has a NUL byte. */
function nulByte(bytes: Buffer, at: number): { readonly what: string; readonly hint: string } {
  return {
    what: `the row has a NUL byte, at byte ${at + bytes.indexOf(0)} of the file`,
    hint: 'No text has one. The file is damaged, or is none of text: write it again from its source.',
  };
}

/** Returns the value of a cell. Lists are written into tables as JSON. */
function cellOf(name: string, text: string): unknown {
  if (!lists.has(name) || !text.startsWith('[')) return text;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}
