/** Runs the job `look`, which answers a question about rows as their files have them: no model and no tokenizer is needed. */
import type {
  ColumnValues,
  DataAt,
  FoundPlace,
  FoundText,
  JobSpec,
  RowPlace,
  RowQuestion,
  SourceRecord,
  Split,
} from '../contract.ts';
import { type ChosenPart, chosenParts } from '../data/mix.ts';
import { readRecords, recordText } from '../data/readers/index.ts';
import type { RecordOrProblem } from '../data/readers/reader.ts';
import { textOf } from '../data/record-hash.ts';
import { rewriteOf, rewritings } from '../data/rewriting.ts';
import { rowFiles } from '../data/row-files.ts';
import { fieldAt } from '../mapped-text.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';
import { followFile, followJob } from './reading.ts';

type Port = Pick<JobPort, 'send' | 'stopRequested'>;

const mostPlaces = 50;
const mostValues = 200;
/** Limits the characters shown on each side of a match, of a value, and of a row that cannot be read. */
const aroundPlace = 60;
const longestValue = 120;
const longestText = 20_000;

export async function runLook(
  { data, question }: Extract<JobSpec, { kind: 'look' }>,
  port: Port,
): Promise<SourceRecord | RowPlace | FoundText | ColumnValues | null> {
  switch (question.name) {
    case 'record':
      return theRecord(data, question, port);
    case 'place':
      return placeOf(data, question, port);
    case 'occurrences':
      return findText(data, question, port);
    case 'values':
      return valuesOf(data, question.column, port);
  }
}

interface TakenRecord {
  readonly path: string;
  /** Gives the number of the row among those of the split, from 0. */
  readonly row: number;
  /** Says how often a mix has the row; its copies are numbered after it. */
  readonly copies: number;
  readonly record: RecordOrProblem;
}

/** Yields the rows of a split that are left by the changes, with edits and replacements applied and without any mapping. */
async function* takenRecords(data: DataAt, split: Split, port: Port): AsyncGenerator<TakenRecord> {
  let row = 0;
  for (const part of await partsOf(data, split, port)) {
    const { paths, changes = [] } = part.files;
    let number = 0;
    for (const path of paths) {
      const follow = followFile('Reading the rows', path, port);
      for await (const record of readRecords(path, rewriteOf(rewritings(changes), path))) {
        follow(record);
        const times = part.choice?.times(number++) ?? 1;
        if (times > 0) yield { path, row, copies: times, record };
        row += times;
      }
    }
  }
}

function noRow(row: number): Problem {
  return new Problem('not-found', `There is no row ${row + 1}.`, 'Look at the rows again: the files may have changed.');
}

async function theRecord(
  data: DataAt,
  { split, row }: Extract<RowQuestion, { name: 'record' }>,
  port: Port,
): Promise<SourceRecord> {
  for await (const { path, record, ...taken } of takenRecords(data, split, port)) {
    if (row < taken.row || row >= taken.row + taken.copies) continue;
    const { line } = record;
    if ('value' in record) return { path, line, value: record.value, text: null, problem: null };
    return { path, line, value: null, text: await recordText(path, record, longestText), problem: record.problem };
  }
  throw noRow(row);
}

async function placeOf(
  data: DataAt,
  { split, row, in: other }: Extract<RowQuestion, { name: 'place' }>,
  port: Port,
): Promise<RowPlace | null> {
  const rowsBefore = rowCounter(port);
  const { path, number, copy } = await placeInFile(data, { split, row }, rowsBefore, port);
  // A row that is held back, or no longer is, is in the other split.
  for (const side of [split, split === 'train' ? 'eval' : 'train'] as const) {
    let before = 0;
    for (const { files, choice } of await partsOf(other, side, port)) {
      const at = files.paths.indexOf(path);
      const ofPart = at < 0 ? null : number + (await rowsBefore(files.paths, at));
      const taken = ofPart === null || choice === null ? ofPart : choice.numberOf(ofPart);
      const copies = ofPart === null ? 0 : (choice?.times(ofPart) ?? 1);
      if (taken !== null) return { split: side, row: before + taken + Math.min(copy, copies - 1) };
      before += choice?.count ?? 0;
    }
  }
  return null;
}

interface PlaceInFile {
  readonly path: string;
  /** Numbers the row within its file, from 0. */
  readonly number: number;
  /** Says which of its copies in a mix the row is. */
  readonly copy: number;
}

async function placeInFile(data: DataAt, { split, row }: RowPlace, rowsBefore: RowsBefore, port: Port): Promise<PlaceInFile> {
  let rest = row;
  for (const { files, choice } of await partsOf(data, split, port)) {
    const ofPart = choice === null ? rest : choice.rowOf(rest);
    if (ofPart === undefined) {
      rest -= choice?.count ?? 0;
      continue;
    }
    const { paths } = files;
    let at = 0;
    while (at + 1 < paths.length && (await rowsBefore(paths, at + 1)) <= ofPart) at++;
    const copy = rest - (choice?.numberOf(ofPart) ?? rest);
    return { path: paths[at]!, number: ofPart - (await rowsBefore(paths, at)), copy };
  }
  throw noRow(row);
}

async function partsOf(data: DataAt, split: Split, port: Port): Promise<readonly ChosenPart[]> {
  const files = rowFiles({ data, split });
  return files.paths.length === 0 ? [] : chosenParts(files, followJob('Choosing the rows', port));
}

/** Counts the rows of the files that come before one of them. Each file is read at most once, and one that stands alone is not. */
type RowsBefore = (paths: readonly string[], at: number) => Promise<number>;

function rowCounter(port: Port): RowsBefore {
  const counts = new Map<string, number>();
  const countOf = async (path: string): Promise<number> => {
    let rows = 0;
    const follow = followFile('Counting the rows', path, port);
    for await (const record of readRecords(path)) {
      follow(record);
      rows++;
    }
    counts.set(path, rows);
    return rows;
  };
  return async (paths, at) => {
    let sum = 0;
    for (const path of paths.slice(0, at)) sum += counts.get(path) ?? (await countOf(path));
    return sum;
  };
}

async function findText(
  data: DataAt,
  { find, column }: Extract<RowQuestion, { name: 'occurrences' }>,
  port: Port,
): Promise<FoundText> {
  const first: FoundPlace[] = [];
  let [rows, places] = [0, 0];
  for (const split of ['train', 'eval'] as const)
    for await (const { row, record } of takenRecords(data, split, port)) {
      if (!('value' in record)) continue;
      const before = places;
      for (const [field, text] of textsIn(column === undefined ? record.value : record.value[column], column ?? ''))
        for (let at = text.indexOf(find); at >= 0; at = text.indexOf(find, at + find.length)) {
          places++;
          const end = at + find.length;
          if (first.length < mostPlaces)
            first.push({
              ...{ split, row, field },
              before: cutBefore(text.slice(0, at)),
              after: cutAfter(text.slice(end)),
            });
        }
      if (places > before) rows++;
    }
  return { rows, places, first };
}

/** Yields the texts in a value with where each is in it. */
function* textsIn(value: unknown, field: string): Generator<readonly [field: string, text: string]> {
  if (typeof value === 'string') yield [field, value];
  else if (typeof value === 'object' && value !== null)
    for (const [name, one] of Object.entries(value)) yield* textsIn(one, field === '' ? name : `${field}.${name}`);
}

function cutBefore(text: string): string {
  return text.length <= aroundPlace ? text : `…${text.slice(-aroundPlace)}`.toWellFormed();
}

function cutAfter(text: string): string {
  return text.length <= aroundPlace ? text : `${text.slice(0, aroundPlace)}…`.toWellFormed();
}

async function valuesOf(data: DataAt, column: string, port: Port): Promise<ColumnValues> {
  const rows = new Map<string, number>();
  let without = 0;
  for (const split of ['train', 'eval'] as const)
    for await (const { record } of takenRecords(data, split, port)) {
      if (!('value' in record)) continue;
      const value = fieldAt(record.value, column);
      if (value === undefined || value === null) without++;
      else {
        const text = typeof value === 'string' ? value : textOf(value);
        rows.set(text, (rows.get(text) ?? 0) + 1);
      }
    }
  const values = [...rows]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, mostValues)
    .map(([value, count]) => ({ value: value.slice(0, longestValue).toWellFormed(), rows: count }));
  return { values, different: rows.size, without };
}
