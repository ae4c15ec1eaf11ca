/**
 * Reads Parquet: tables stored by column, in row groups of pages. Rows are read one by one, with one page of each column in
 * memory.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { Problem, shown } from '../../../problem.ts';
import { plainOutsideTools } from '../../json-numbers.ts';
import { fileBytes } from '../bytes.ts';
import { maxRecordBytes, recordProblem } from '../record.ts';
import type { Reader, Reading, RecordOrProblem } from '../reader.ts';
import { assembleRow } from './assemble.ts';
import { Column, type ReadBytes, type RowValues } from './column.ts';
import { Damage, requireSound, Unread } from './damage.ts';
import { type Footer, readFooter, type RowGroup } from './footer.ts';

const mark = 'PAR1';
const encryptedMark = 'PARE';
const longestFooter = 64 << 20;
const again = 'It is damaged or cut off: copy or download it again.';

export const parquet: Reader = {
  // Text may have been given the ending; what else is without the mark is damaged.
  recognise: ({ head, steps, ending }) =>
    steps.length === 0 &&
    ((head.at === 0 && head.bytes.toString('latin1', 0, 4) === mark) || (ending === 'parquet' && head.bytes.includes(0))),
  describe: () => 'Parquet',
  read: ({ path }, reading) => readRows(path, reading),
};

async function* readRows(path: string, { hash, from = null, onNothing = () => {} }: Reading): AsyncGenerator<RecordOrProblem> {
  if (hash !== undefined) for await (const _ of fileBytes(path, 0, hash)) await onNothing({ line: 1, at: 0 });
  const file = await open(path);
  try {
    const read = readerOf(file);
    const { size } = await file.stat();
    const footer = await openFooter(read, size).catch((error: unknown) => {
      throw said(path, 'its footer', error);
    });
    let before = 0;
    for (const [number, group] of footer.groups.entries()) {
      const first = from === null ? 0 : from.line - 1 - before;
      if (first < group.rows) yield* readGroup(path, read, { footer, group, number, before, first: Math.max(0, first) });
      before += group.rows;
    }
  } finally {
    await file.close();
  }
}

interface GroupAt {
  readonly footer: Footer;
  readonly group: RowGroup;
  /** Counts from 0. */
  readonly number: number;
  /** Counts the rows of the file before it. */
  readonly before: number;
  /** Gives the row of the group to begin with. */
  readonly first: number;
}

async function* readGroup(
  path: string,
  read: ReadBytes,
  { footer: { root, leaves }, group, number, before, first }: GroupAt,
): AsyncGenerator<RecordOrProblem> {
  const held = { bytes: 0 };
  const hasJson = leaves.some(({ meaning }) => meaning.kind === 'json');
  const columns = leaves.map((leaf, i) => new Column(leaf, group.chunks[i]!, read, held));
  const start = Math.min(...group.chunks.map((chunk) => chunk.start));
  const length = Math.max(...group.chunks.map((chunk) => chunk.start + chunk.bytes)) - start;
  // These say where a fault was found.
  let row = first;
  let column: number | null = null;
  const placeOf = () => `row ${before + row + 1} (row group ${number + 1})`;
  try {
    if (first > 0) for (column = 0; column < columns.length; column++) await columns[column]!.skip(first);
    for (; row < group.rows; row++) {
      const values: RowValues[] = [];
      for (column = 0; column < columns.length; column++) {
        const found = columns[column]!.row();
        values.push(found instanceof Promise ? await found : found);
      }
      column = null;
      const assembled = assembleRow(root, values);
      const value = hasJson ? (plainOutsideTools(assembled) as typeof assembled) : assembled;
      const bytes = bytesIn(value);
      // A row of columns has no single position in the file, so it is estimated, in the same way at every reading.
      const at = start + Math.floor((row / group.rows) * length);
      const place = { line: before + row + 1, at, bytes, where: placeOf() };
      if (bytes <= maxRecordBytes) yield { ...place, value };
      else
        yield recordProblem(path, place, {
          what: `the row has more than ${maxRecordBytes / 1024 / 1024} MB`,
          hint: 'Split it into several rows.',
        });
    }
  } catch (error) {
    throw said(path, column === null ? placeOf() : `${placeOf()}, column '${leaves[column]!.name}'`, error);
  }
}

export async function openFooter(read: ReadBytes, size: number): Promise<Footer> {
  requireSound(size >= 12, 'the file ends before it');
  const beginning = await read(0, 4);
  requireSound(beginning.toString('latin1') === mark, `the file does not begin with '${mark}'`);
  const end = await read(size - 8, 8);
  const ending = end.toString('latin1', 4);
  if (ending === encryptedMark) throw new Unread('the file is encrypted', 'Write it again without encryption.');
  requireSound(ending === mark, `the file does not end with '${mark}' and is cut off`);
  const length = end.readUInt32LE(0);
  requireSound(length <= size - 12, 'it is said to be longer than the file');
  requireSound(length <= longestFooter, `it has ${length} bytes, which no table needs`);
  return readFooter(await read(size - 8 - length, length), size);
}

export function readerOf(file: FileHandle): ReadBytes {
  return async (at, length) => {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await file.read(bytes, done, length - done, at + done);
      requireSound(bytesRead > 0, 'the file ends before it');
      done += bytesRead;
    }
    return bytes;
  };
}

/** Returns what went wrong, with the file and the place in it. */
function said(path: string, where: string, cause: unknown): unknown {
  if (cause instanceof Unread)
    return new Problem('format-unsupported', `${path}, ${shown(where)}: ${cause.message}.`, cause.hint, { cause });
  if (cause instanceof Damage || cause instanceof RangeError)
    return new Problem('file-damaged', `${path}, ${shown(where)}: ${cause.message}.`, again, { cause });
  return cause;
}

/** Returns about how many bytes a value takes as JSON. */
function bytesIn(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 4;
  let bytes = 2;
  for (const [name, entry] of Object.entries(value)) bytes += bytesIn(entry) + (Array.isArray(value) ? 1 : name.length + 4);
  return bytes;
}
