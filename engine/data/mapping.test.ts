import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { columnsOf, mapRows } from './mapping.ts';
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

test('a mapped copy is read as what the fields mean; rows that lack them are named by the checks', async () => {
  const to = join(folder, 'mapped.jsonl');
  await mapRows(path, to, { question: 'ticket', answer: 'reply', system: 'note' });
  expect(readFileSync(to, 'utf8').split('\n').slice(0, 2)).toEqual([
    '{"system":"","instruction":"Where is my lamp?","output":"{\\"intent\\":\\"status\\"}"}',
    '{"system":"curt","instruction":"Cancel it.","output":"{\\"intent\\":\\"cancel\\"}"}',
  ]);
  expect(readdirSync(folder).some((name) => name.endsWith('.part'))).toBe(false);
  const read = await readRows([to], null, Number.MAX_SAFE_INTEGER);
  expect(read.format).toBe('alpaca');
  expect(read.rows.map((row) => ('problem' in row ? row.problem.code : 'fine'))).toEqual([
    'tokenizer-missing',
    'tokenizer-missing',
    'format-unknown',
    'data-invalid',
  ]);

  await mapRows(path, to, { question: null, answer: 'ticket', system: null });
  expect((await readRows([to], null, Number.MAX_SAFE_INTEGER)).format).toBe('text');
});
