/** What a person asks about rows before changing them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import type { DataAt, DataChange, DataFiles, RowQuestion } from '../contract.ts';
import { silentPort } from '../testing/port.ts';
import { runLook } from './look.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-look-'));
afterAll(() => rmSync(work, { recursive: true }));
const look = (data: DataFiles, question: RowQuestion) => runLook({ kind: 'look', data, question }, silentPort);
const chat = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
});
const lines = [
  JSON.stringify(chat('a cat', 'cat or cat')),
  '{"messages": [{"role": "user"',
  JSON.stringify(chat('a dog', 'no')),
];
const path = join(work, 'rows.jsonl');
writeFileSync(path, `${lines.join('\n')}\n`);
const row = (number: number): RowQuestion => ({ name: 'record', split: 'train', row: number });

test('a row is shown as the file has it, and one that cannot be read with what stands there', async () => {
  const packed = join(work, 'packed.jsonl.gz');
  writeFileSync(packed, gzipSync(lines.join('\n')));
  for (const file of [path, packed]) {
    expect(await look({ paths: [file] }, row(2))).toEqual({
      ...{ path: file, line: 3, value: chat('a dog', 'no'), text: null, problem: null },
    });
    const broken = await look({ paths: [file] }, row(1));
    expect(broken).toMatchObject({ line: 2, value: null, text: lines[1], problem: { code: 'data-invalid' } });
  }
  await expect(look({ paths: [path] }, row(3))).rejects.toThrow('There is no row 4.');
  const parquet = join(import.meta.dirname, '../golden/parquet/plain.parquet');
  expect(await look({ paths: [parquet] }, row(0))).toMatchObject({ text: null, problem: null });
});

test('rows are counted as they are by now: without what is left out, and with what is written anew', async () => {
  const changes: DataChange[] = [{ kind: 'replace', find: 'dog', with: 'cat' }, { kind: 'deduplicate' }];
  expect(await look({ paths: [path], changes }, row(2))).toMatchObject({ value: chat('a cat', 'no') });
  expect(await look({ paths: [path], changes }, { name: 'occurrences', find: 'cat' })).toMatchObject({ rows: 2, places: 4 });
  expect(await look({ paths: [path] }, { name: 'occurrences', find: 'dog' })).toMatchObject({ rows: 1, places: 1 });
});

test('a row is found again in another version: at another number, in the other split, or not at all', async () => {
  const other = join(work, 'held.jsonl');
  writeFileSync(other, `${JSON.stringify(chat('a bird', 'no'))}\n`);
  const place = (number: number, data: DataFiles) =>
    look({ paths: [path, other] }, { name: 'place', split: 'train', row: number, in: data });
  expect(await place(2, { paths: [path, other], changes: [{ kind: 'replace', find: 'dog', with: 'cat' }] })).toEqual({
    split: 'train',
    row: 2,
  });
  expect(await place(2, { paths: [other, path] })).toEqual({ split: 'train', row: 3 });
  expect(await place(3, { paths: [path], evalPaths: [other] })).toEqual({ split: 'eval', row: 0 });
  expect(await place(3, { paths: [path] })).toBe(null);
});

test('a row is found again without reading a file, unless rows are chosen or others stand before it', async () => {
  const gone = join(work, 'gone.jsonl');
  const changes: DataChange[] = [{ kind: 'replace', find: 'dog', with: 'cat' }];
  const question = { name: 'place', split: 'train', row: 7, in: { paths: [gone, path], changes } } as const;
  expect(await look({ paths: [gone] }, question)).toEqual({ split: 'train', row: 7 });
});

test('a copy of a row of a mix stays that copy, and is the last one where there are fewer', async () => {
  const other = join(work, 'held.jsonl');
  writeFileSync(other, `${JSON.stringify(chat('a bird', 'no'))}\n`);
  const mixOf = (first: number, second: number): DataAt => ({
    paths: [path, other],
    mix: {
      parts: [
        { name: 'a', data: { paths: [path] }, repeat: first },
        { name: 'b', data: { paths: [other] }, repeat: second },
      ],
      seed: 0,
    },
  });
  const place = (row: number, next: DataAt) => look(mixOf(1, 3), { name: 'place', split: 'train', row, in: next });
  expect(await place(4, mixOf(2, 3))).toEqual({ split: 'train', row: 7 });
  expect(await place(5, mixOf(1, 2))).toEqual({ split: 'train', row: 4 });
  expect(await place(5, mixOf(1, 0))).toBe(null);
});

test('a text is found with what stands around it, in both splits, in a column alone, and never in a name', async () => {
  const other = join(work, 'other.jsonl');
  writeFileSync(other, `${JSON.stringify({ text: `${'x'.repeat(100)}cat${'y'.repeat(100)}`, cat: 'cat', note: 1 })}\n`);
  const data = { paths: [path], evalPaths: [other] };
  expect(await look(data, { name: 'occurrences', find: 'cat' })).toEqual({
    ...{ rows: 2, places: 5 },
    first: [
      { split: 'train', row: 0, field: 'messages.0.content', before: 'a ', after: '' },
      { split: 'train', row: 0, field: 'messages.1.content', before: '', after: ' or cat' },
      { split: 'train', row: 0, field: 'messages.1.content', before: 'cat or ', after: '' },
      { split: 'eval', row: 0, field: 'text', before: `…${'x'.repeat(60)}`, after: `${'y'.repeat(60)}…` },
      { split: 'eval', row: 0, field: 'cat', before: '', after: '' },
    ],
  });
  expect(await look(data, { name: 'occurrences', find: 'cat', column: 'cat' })).toMatchObject({ rows: 1, places: 1 });
  expect(await look(data, { name: 'occurrences', find: 'role' })).toEqual({ rows: 0, places: 0, first: [] });
});

test('the values of a column are counted, the most frequent first', async () => {
  const values = join(work, 'values.jsonl');
  const kinds = ['a', 'b', 'b', null, 3, 'b', 3];
  writeFileSync(values, kinds.map((kind) => `${JSON.stringify({ meta: { kind } })}\n`).join(''));
  expect(await look({ paths: [values] }, { name: 'values', column: 'meta.kind' })).toEqual({
    values: [
      { value: 'b', rows: 3 },
      { value: '3', rows: 2 },
      { value: 'a', rows: 1 },
    ],
    ...{ different: 3, without: 1 },
  });
});
