import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { collected } from '../testing/collected.ts';
import { columnsOf } from './fields.ts';
import { readRecords } from './readers/index.ts';
import { readRows } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-mapping-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'tickets.jsonl');
const rows = [
  { ticket: 'Where is my lamp?', note: '', reply: { intent: 'status' } },
  { ticket: 'Cancel it.', note: 'curt', reply: { intent: 'cancel' } },
  { ticket: 'No answer here.' },
];
writeFileSync(path, [...rows.map((row) => JSON.stringify(row)), '{"ticket":'].join('\n'));

test('fields of unknown names are found with an example each', async () => {
  expect(await columnsOf(path)).toEqual({
    format: null,
    columns: [
      { name: 'ticket', example: 'Where is my lamp?' },
      { name: 'note', example: 'curt' },
      { name: 'reply', example: '{"intent":"status"}' },
    ],
  });
  const known = join(folder, 'known.jsonl');
  writeFileSync(known, '{"prompt":"a","completion":"b"}\n');
  expect((await columnsOf(known)).format).toBe('prompt-completion');
});

test('rows are read as what their fields mean, without a copy; rows that lack them are named by the checks', async () => {
  const mapping = { question: 'ticket', answer: 'reply', system: 'note' };
  const records = await collected(readRecords(path, { mapping }));
  expect(records.map((record) => ('value' in record ? record.value : record.problem.line))).toEqual([
    { system: '', instruction: 'Where is my lamp?', output: '{"intent":"status"}' },
    { system: 'curt', instruction: 'Cancel it.', output: '{"intent":"cancel"}' },
    { ticket: 'No answer here.' },
    4,
  ]);
  const read = await readRows({ paths: [path], mapping }, null, Number.MAX_SAFE_INTEGER);
  expect(read.format).toBe('alpaca');
  expect(read.rows.map((row) => ('problem' in row ? row.problem.code : 'fine'))).toEqual([
    'tokenizer-missing',
    'tokenizer-missing',
    'format-unknown',
    'data-invalid',
  ]);
  const plain = { paths: [path], mapping: { question: null, answer: 'ticket', system: null } };
  expect((await readRows(plain, null, Number.MAX_SAFE_INTEGER)).format).toBe('text');
  expect(readdirSync(folder)).not.toContain('tickets.jsonl.part');
});
