import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { detectFormat } from './content.ts';
import { columnsOf } from './fields.ts';
import { foreignProblem } from './foreign-shapes.ts';
import { formatReason } from './format-reason.ts';

const rows = [{ prompt: 'a', completion: 'b' }];
const turn = { role: 'user', content: 'a' };

test.each([
  ['an object of columns', { prompt: ['a', 'b'], completion: ['c', 'd'] }],
  ['an object of columns', { messages: [[turn], [turn]], id: [1, 2] }],
  ['an object of columns', { text: ['a', 'b'] }],
  ['an object of columns', { prompt: { 0: 'a', 1: 'b' }, completion: { 0: 'c', 1: 'd' } }],
  ['an object of several lists of rows', { train: rows, test: rows }],
  ['the data viewer of Hugging Face', { row_idx: 0, row: rows[0], truncated_cells: [] }],
])('%s is named instead of being read as a row', (what, value) => {
  expect(foreignProblem(value)?.message).toContain(what);
  expect(detectFormat(value)).toBeNull();
  expect(formatReason(value)).toMatchObject({ name: null, why: expect.stringContaining(what) as unknown });
});

test('an answer of the data viewer is read as its rows, however its features are written', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'lowrank-viewer-')), 'rows.json');
  const answer = { features: [{ feature_idx: 0, name: 'prompt' }], rows: [{ row_idx: 0, row: rows[0] }], num_rows_total: 1 };
  for (const text of [JSON.stringify(answer), JSON.stringify(answer, null, 2)]) {
    writeFileSync(path, text);
    const { reason } = await columnsOf(path);
    expect(reason).toMatch(/a row as the data viewer of Hugging Face returns it/);
  }
  rmSync(dirname(path), { recursive: true });
});

test.each([
  {},
  { messages: [turn] },
  { messages: [turn], tools: [{ type: 'function' }] },
  { prompt: [turn], completion: [turn] },
  { input_ids: [1, 2], labels: [1, 2] },
  { input_ids: [1, 2] },
  { text: 'a', tags: ['b'] },
  { prompt: 'a', completion: 'b', row: { n: 1 } },
  { scores: { 1: 2 }, text: 'a' },
])('a row is no table: %j', (value) => {
  expect(detectFormat(value) === null ? foreignProblem(value) : null).toBeNull();
});
