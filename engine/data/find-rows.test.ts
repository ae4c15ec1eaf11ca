/** A text is found in whatever field and case it stands, piece by piece, and a row is returned as it is written. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { FoundRow } from '../contract.ts';
import { findRows, recordText } from './find-rows.ts';
import { RowSource } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-find-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'rows.jsonl');
const rows: readonly unknown[] = [
  {
    messages: [
      { role: 'user', content: 'Send (2) LAMPS.' },
      { role: 'assistant', content: 'Yes.' },
    ],
    id: 7,
  },
  'no row',
  { prompt: 'Straße', completion: 'İstanbul ✨ 東京' },
  { text: `${'x'.repeat(200)} lamps [a-z]+ ${'y'.repeat(200)}`, price: 12.5 },
];
const write = (all: readonly unknown[]) => writeFileSync(path, all.map((row) => `${JSON.stringify(row)}\n`).join(''));
const newSource = () => new RowSource({ paths: [path] }, null, 100);
/** Looks through all rows from one on; on a busy machine that takes several pieces. */
async function search(text: string, first = 0) {
  const source = newSource();
  const all: FoundRow[] = [];
  for (let from: number | null = first; from !== null;) {
    const { found, next }: Awaited<ReturnType<typeof findRows>> = await findRows(source, { text, from }, () => {});
    all.push(...found);
    from = next;
  }
  return all;
}
const found = async (text: string, from = 0) => (await search(text, from)).map(({ row }) => row);

test('a text is found letter by letter, in any case, in texts and numbers', async () => {
  write(rows);
  expect(await found('lamps')).toEqual([0, 3]);
  expect(await found('lamps', 1)).toEqual([3]);
  expect(await found('(2) lamps.')).toEqual([0]);
  expect(await found('[a-z]+')).toEqual([3]);
  expect(await found('STRAẞE')).toEqual([2]);
  expect(await found('東京')).toEqual([2]);
  expect(await found('12.5')).toEqual([3]);
  expect(await found('12x5')).toEqual([]);
  expect(await found('assistant')).toEqual([0]);
  const shown = await search('LAMPS');
  expect(shown[0]).toEqual({ row: 0, line: 1, before: 'Send (2) ', found: 'LAMPS', after: '.' });
  expect(shown[1]).toMatchObject({ row: 3, line: 4, before: `${'x'.repeat(59)} `, found: 'lamps' });
});

test('what is found in many rows comes piece by piece, each row once, and stops when nobody waits', async () => {
  write(Array.from({ length: 1000 }, (_, i) => ({ text: i % 2 === 0 ? `lamp ${i}` : 'none' })));
  const source = newSource();
  const all: number[] = [];
  let answers = 0;
  for (let from: number | null = 0; from !== null; answers++) {
    const { found, next } = await findRows(source, { text: 'lamp', from }, () => {});
    expect(found.length).toBeLessThan(140);
    all.push(...found.map(({ row }) => row));
    from = next;
  }
  expect(all).toEqual(Array.from({ length: 500 }, (_, i) => 2 * i));
  expect(answers).toBeGreaterThan(3);
  const stopped = findRows(source, { text: 'absent', from: 0 }, ({ rows }) => {
    if (rows >= 320) throw new Error('nobody waits');
  });
  await expect(stopped).rejects.toThrow('nobody waits');
});

test('a row is returned as JSON with what was done to it', async () => {
  write(rows);
  expect(JSON.parse((await recordText(newSource(), 0, () => {}))!)).toEqual(rows[0]);
  expect(await recordText(newSource(), 1, () => {})).toBeNull();
  expect(await recordText(newSource(), 9, () => {})).toBeNull();
  const changes = [{ kind: 'replace', find: 'LAMPS', with: 'chairs' }] as const;
  const source = new RowSource({ paths: [path], changes, split: 'train' }, null, 100);
  expect(await recordText(source, 0, () => {})).toContain('Send (2) chairs.');
});
