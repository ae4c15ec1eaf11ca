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
import { chosenParts } from '../data/mix.ts';
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
  const files = rowFiles({ data, split });
  if (files.paths.length === 0) return;
  let row = 0;
  for (const part of await chosenParts(files, followJob('Choosing the rows', port))) {
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

/** Returns the record of a row of a split, and which of its copies the row is. */
async function takenRecord(data: DataAt, split: Split, wanted: number, port: Port): Promise<TakenRecord & { copy: number }> {
  for await (const taken of takenRecords(data, split, port))
    if (wanted >= taken.row && wanted < taken.row + taken.copies) return { ...taken, copy: wanted - taken.row };
  throw new Problem('not-found', `There is no row ${wanted + 1}.`, 'Look at the rows again: the files may have changed.');
}

async function theRecord(
  data: DataAt,
  { split, row }: Extract<RowQuestion, { name: 'record' }>,
  port: Port,
): Promise<SourceRecord> {
  const { path, record } = await takenRecord(data, split, row, port);
  const { line } = record;
  if ('value' in record) return { path, line, value: record.value, text: null, problem: null };
  return { path, line, value: null, text: await recordText(path, record, longestText), problem: record.problem };
}

async function placeOf(
  data: DataAt,
  { split, row, in: other }: Extract<RowQuestion, { name: 'place' }>,
  port: Port,
): Promise<RowPlace | null> {
  const { path, record, copy } = await takenRecord(data, split, row, port);
  // A row that is held back, or no longer is, is in the other split.
  for (const side of [split, split === 'train' ? 'eval' : 'train'] as const)
    for await (const taken of takenRecords(other, side, port))
      if (taken.record.line === record.line && taken.path === path)
        return { split: side, row: taken.row + Math.min(copy, taken.copies - 1) };
  return null;
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
