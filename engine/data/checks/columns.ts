/** Checks for columns that are not used, and for columns with the same value in nearly all rows. */
import { Column } from '../column.ts';
import { type Fields, materialColumns } from '../columns.ts';
import { changedSentence } from '../row-files.ts';
import type { RepeatedValue, UnusedColumn } from '../row.ts';
import { majorityOf } from './answers.ts';
import type { SetCheck } from './check.ts';
import { countedRows, fewestForShare, percentOf } from './found-rows.ts';
import { hashText } from './hash.ts';

const mostFilesNamed = 5;
const maxColumnsNamed = 40;
const maxNameLength = 80;
const maxValueLength = 60;
/** The values of this many columns are compared. Rows with more have field names of their own, such as ids. */
const maxColumns = 32;
const largeShare = 0.9;

/** These columns are not compared. A system prompt is usually the same in all rows, and answers have a check of their own. */
const notCompared: ReadonlySet<string> = new Set(['system', 'system_prompt', 'output', 'completion', 'format', 'type']);

/** Compares the values of columns of text and numbers while rows are read. It takes four bytes a value. */
export class ColumnValues {
  readonly #columns = new Map<string, { readonly hashes: Column; value: string; votes: number }>();

  /** Adds the fields of a row, except those that nothing was read from. */
  add(row: Fields, unused: ReadonlySet<string>): void {
    for (const name in row) {
      const field = row[name];
      if ((typeof field !== 'string' && typeof field !== 'number') || unused.has(name) || notCompared.has(name)) continue;
      let column = this.#columns.get(name);
      if (column === undefined) {
        if (this.#columns.size === maxColumns) continue;
        column = { hashes: new Column(Uint32Array), value: '', votes: 0 };
        this.#columns.set(name, column);
      }
      const text = String(field);
      const hash = hashText(text);
      const shown = text.slice(0, maxValueLength);
      column.hashes.add(hash);
      // Holds the text of the value that majorityOf will return.
      if (column.votes === 0) column.value = shown;
      column.votes += column.value === shown ? 1 : -1;
    }
  }

  get repeated(): RepeatedValue[] {
    return [...this.#columns]
      .map(([column, { hashes, value }]) => {
        const most = majorityOf(hashes);
        let rows = 0;
        for (let i = 0; i < hashes.length; i++) if (hashes.at(i) === most) rows++;
        return { column, value, rows, of: hashes.length };
      })
      .filter(({ rows, of }) => of >= fewestForShare && rows >= largeShare * of);
  }
}

export const changedFiles: SetCheck = {
  ...{ looksAt: 'set', name: 'changed-files', severity: 'blocking', fix: { kind: 'renew' } },
  why: 'A run says which rows it was trained on; it would be trained on others.',
  ask: ({ changed }) =>
    changed.length === 0
      ? null
      : {
          title: changed.length === 1 ? 'A file has changed' : 'Files have changed',
          detail: `${changedSentence(changed)} What is shown is what is there now. Put it back, or make a new version of the data set.`,
        },
};

export const newFiles: SetCheck = {
  ...{ looksAt: 'set', name: 'new-files', severity: 'note', fix: { kind: 'renew' } },
  why: 'A version keeps to the files that were there when it was made, so these are not trained on.',
  ask: ({ newFiles: found }) =>
    found.length === 0
      ? null
      : {
          title: found.length === 1 ? 'A new text in the folder' : `${found.length} new texts in the folder`,
          detail: `${found.slice(0, mostFilesNamed).join(', ')}${found.length > mostFilesNamed ? ' and more' : ''} came after this version was made. A new version has them too.`,
        },
};

export const repeatedValues: SetCheck = {
  ...{ looksAt: 'set', name: 'one-value', severity: 'note', fix: null },
  why: 'A column that says the same in every row may be another one than was meant, and it takes tokens of every row.',
  ask: ({ repeated }) =>
    repeated.map(({ column, value, rows, of, part }) => ({
      title: `'${column.slice(0, maxNameLength)}' is the same in ${percentOf(rows, of)} of the rows`,
      detail: `${rows} of ${of}${part === undefined ? '' : ` of ${part}`} have ${value === '' ? 'an empty text' : JSON.stringify(value)}. That is right where it is an instruction for all of them.`,
    })),
};

export const unusedColumns: SetCheck = {
  ...{ looksAt: 'set', name: 'unused-columns', severity: 'note', fix: { kind: 'map' } },
  why: 'What is in them is never seen by the model, so an answer that needs it is learned as a guess.',
  ask: ({ unused }) => (unused.length === 0 ? null : unusedFinding(unused)),
};

/** Says which columns nothing is read from. It is a warning where the answers may be about what stands in one of them. */
export function unusedFinding(unused: readonly UnusedColumn[]): {
  readonly severity: 'warning' | 'passed';
  readonly title: string;
  readonly detail: string;
} {
  const title = `Columns not used: ${columnList(unused)}`;
  const detail = 'They change nothing of what is trained.';
  const material = unused.find(({ name }) => materialColumns.includes(name.toLowerCase()));
  if (material === undefined) return { severity: 'passed', title, detail };
  const advice = `'${material.name}' may hold what the answers are about: unless the prompt has it too, say in a mapping where it stands.`;
  return { severity: 'warning', title, detail: `${detail} ${advice}` };
}

/** Lists columns with the number of rows that have each. */
function columnList(unused: readonly UnusedColumn[]): string {
  const named = unused.slice(0, maxColumnsNamed).map((column, i) => {
    const what = i === 0 ? ` ${column.rows === 1 ? 'row' : 'rows'}` : '';
    return `'${column.name.slice(0, maxNameLength)}' (${column.rows}${what})`;
  });
  const more = unused.length - named.length;
  return `${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

/** Says by which formats rows were recognized, and how files were read. */
export const readAs: SetCheck = {
  ...{ looksAt: 'set', name: 'read-as', severity: 'note', fix: { kind: 'map' } },
  why: 'The same file is another training where its rows are taken for something else.',
  ask: ({ formats, files }) => {
    if (formats.length === 0 && files.length === 0) return null;
    const known = formats.filter(({ name }) => name !== null);
    // Rows of one format may be recognized by several reasons.
    const counts = [...Map.groupBy(known, ({ name }) => name)].map(([name, of]) => [
      name,
      of.reduce((sum, { rows }) => sum + rows, 0),
    ]);
    const named = counts.map(([name, rows]) => (counts.length === 1 ? String(name) : `${name} (${rows})`));
    const title = known.length === 0 ? 'No row is of a known format' : `Read as ${new Intl.ListFormat('en').format(named)}`;
    const reasons = formats.map(({ name, why, rows }) => {
      if (formats.length === 1) return why;
      return `${name ?? `${countedRows(rows)} not read so`}: ${why}`;
    });
    const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
    return { severity: known.length === 0 ? 'note' : 'passed', title, detail: [...reasons, ...files].map(sentence).join(' ') };
  },
};
