import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readRows } from '../testing/read-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-token-rows-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Ids and labels of each row, or the code and message of its problem. */
async function read(rows: readonly object[]): Promise<unknown[]> {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
  return (await readRows({ paths: [path] }, null, 100)).rows.map((row) =>
    'problem' in row ? `${row.problem.code}: ${row.problem.message}` : [[...row.inputIds], [...row.labels]],
  );
}

test('masks say which tokens are trained, together with labels', async () => {
  const input_ids = [4, 5, 6, 7, 8, 9];
  expect(
    await read([
      { input_ids, completion_mask: [0, 0, 0, 1, 1, 1] },
      { input_ids, assistant_masks: [0, 1, 1, 0, 1, 1], completion_mask: [0, 0, 0, 1, 1, 1] },
      { input_ids, labels: [-100, -100, 6, 7, 8, 9], loss_mask: [true, true, true, true, false, true] },
      { input_ids, labels: null, loss_scale: [0, 0, 1, 1, 1, 1.0], attention_mask: null },
    ]),
  ).toEqual([
    [input_ids, [-100, -100, -100, 7, 8, 9]],
    [input_ids, [-100, -100, -100, -100, 8, 9]],
    [input_ids, [-100, -100, 6, 7, -100, 9]],
    [input_ids, [-100, -100, 6, 7, 8, 9]],
  ]);
});

test('padding is neither an input nor trained', async () => {
  expect(
    await read([
      { input_ids: [4, 5, 6, 7, 0, 0, 0, 0], attention_mask: [1, 1, 1, 1, 0, 0, 0, 0] },
      { input_ids: [-1, 0, 4, 5, 6], attention_mask: [0, 0, 1, 1, 1], labels: [-100, -100, -100, 5, 6] },
      { input_ids: [0, 4, 5, 6], attention_mask: [0, 1, 1, 1], position_ids: [1, 0, 1, 2], seq_lens: [3] },
      { input_ids: [1, 2], attention_mask: [0, 0] },
    ]),
  ).toEqual([
    [
      [4, 5, 6, 7],
      [4, 5, 6, 7],
    ],
    [
      [4, 5, 6],
      [-100, 5, 6],
    ],
    [
      [4, 5, 6],
      [4, 5, 6],
    ],
    expect.stringContaining('the row has no tokens'),
  ]);
});

test('what is more than one sequence of text is refused by the name of its column', async () => {
  const input_ids = [4, 5, 6, 7];
  const whole = {
    ...{ attention_mask: [1, 1, 1, 1], position_ids: [0, 1, 2, 3], token_type_ids: [0, 0, 0, 0], seq_lengths: [4] },
    ...{ cu_seqlens: [0, 4], length: 4 },
  };
  const rows = await read([
    { input_ids, ...whole },
    { input_ids, position_ids: [0, 1, 0, 1] },
    { input_ids, position_ids: [5, 6, 7, 8] },
    { input_ids, seq_lens: [2, 2] },
    { input_ids, cu_seq_lens: [0, 2, 4] },
    { input_ids, attention_mask: [1, 0, 1, 1] },
    { input_ids, attention_mask: [1, 1, 2, 2] },
    { input_ids, token_type_ids: [0, 1, 1, 0] },
    { input_ids, pixel_values: [[0.5]] },
    { input_ids, label: true },
    { input_ids, rejected_input_ids: [4, 5] },
    { input_ids, loss_scale: [0, 0, 0.5, 1] },
    { input_ids, completion_mask: [1] },
  ]);
  expect(rows[0]).toEqual([input_ids, input_ids]);
  const names = ['position_ids', 'position_ids', 'seq_lens', 'cu_seq_lens', 'attention_mask', 'attention_mask'];
  for (const [i, name] of [...names, 'token_type_ids', 'pixel_values', 'label', 'rejected_input_ids', 'loss_scale'].entries())
    expect(rows[i + 1]).toMatch(new RegExp(`^format-unsupported: .*rows.jsonl, line ${i + 2}: the row has '${name}'`));
  expect(rows[12]).toContain("'completion_mask' has 1 entries, 'input_ids' 4.");
});

test('a column without entries is not one that says nothing', async () => {
  const input_ids = [4, 5, 6, 7];
  const given: [object, string][] = [
    ...['labels', 'loss_mask', 'completion_mask', 'attention_mask', 'position_ids', 'token_type_ids'].map(
      (name): [object, string] => [{ [name]: [] }, `'${name}' has 0 entries, 'input_ids' 4.`],
    ),
    [{ labels: '[]' }, `'labels' is not a list`],
    [{ labels: {} }, `'labels' is not a list`],
    [{ labels: '' }, `'labels' is not a list`],
    [{ completion_mask: {} }, `'completion_mask' is not a list`],
    [{ loss_mask: 'null' }, `'loss_mask' is not a list`],
    [{ seq_lens: [] }, `the row has 'seq_lens' of other sequences`],
    [{ cu_seqlens: [0] }, `the row has 'cu_seqlens' of other sequences`],
    [{ prompt_mask: [] }, `the row has 'prompt_mask'`],
  ];
  const rows = await read(given.map(([columns]) => ({ input_ids, ...columns })));
  for (const [i, [, said]] of given.entries()) expect(rows[i]).toContain(`line ${i + 1}: ${said}`);
});

test('columns that say what is trained are read or refused, however they are called', async () => {
  const input_ids = [4, 5, 6, 7];
  const columns = {
    ...{ mask: [0, 0, 1, 1], label_ids: [-100, -100, 6, 7], shift_labels: [-100, 6, 7, -100], Labels: [-100, -100, 6, 7] },
    ...{ lossMask: [0, 0, 1, 1], segment_ids: [1, 1, 2, 2], sequence_ids: [0, 0, 1, 1], document_ids: [0, 0, 0, 1] },
    ...{ is_desirable: false, Weight: '0', 'Position-IDs': [0, 1, 0, 1] },
  };
  const rows = await read([
    { input_ids, response_mask: [0, 0, 1, 1], segment_ids: [1, 1, 1, 1], labels: null },
    ...Object.entries(columns).map(([name, value]) => ({ input_ids, [name]: value })),
  ]);
  expect(rows[0]).toEqual([input_ids, [-100, -100, 6, 7]]);
  for (const [i, name] of Object.keys(columns).entries()) expect(rows[i + 1]).toContain(`: the row has '${name}': `);
});

test('a token that is trained is no padding', async () => {
  const input_ids = [4, 5, 6, 7, 2];
  const attention_mask = [1, 1, 1, 1, 0];
  const rows = await read([
    { input_ids, attention_mask, labels: [-100, -100, 6, 7, 2] },
    { input_ids, attention_mask, completion_mask: [0, 0, 1, 1, 1] },
    { input_ids, attention_mask: [0, 1, 1, 1, 1], labels: [4, 5, 6, 7, 2] },
    { input_ids, attention_mask, labels: [-100, -100, 6, 7, -100] },
    { input_ids, attention_mask },
  ]);
  expect(rows.slice(0, 3)).toEqual([
    expect.stringContaining(`'labels' trains the token 2 at position 4, where 'attention_mask' is 0.`),
    expect.stringContaining(`'completion_mask' trains the token 2 at position 4`),
    expect.stringContaining(`'labels' trains the token 4 at position 0`),
  ]);
  expect(rows.slice(3)).toEqual([
    [
      [4, 5, 6, 7],
      [-100, -100, 6, 7],
    ],
    [
      [4, 5, 6, 7],
      [4, 5, 6, 7],
    ],
  ]);
});
