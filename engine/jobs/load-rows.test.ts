import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openModel } from '../models/open.ts';
import { silentPort } from '../testing/port.ts';
import { firstRows } from './load-rows.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-load-rows-'));
afterAll(() => rmSync(work, { recursive: true }));
const model = openModel(join(import.meta.dirname, '../golden/llama-tied/model'));
const file = (name: string, rows: readonly object[]): string => {
  const path = join(work, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
};
const row = (...input_ids: number[]) => ({ input_ids });

test('whoever wants the first rows of use gets them, and no file behind them is opened', async () => {
  const path = file('rows.jsonl', [row(1), ...Array.from({ length: 300 }, (_, i) => row(1, 2, i % 7))]);
  const missing = join(work, 'missing.jsonl');
  const first = (paths: readonly string[], count: number) =>
    firstRows({ paths }, model, null, { count, isOfUse: ({ inputIds }) => inputIds[2] === 6 }, silentPort);
  const { rows, changed } = await first([path, missing], 30);
  expect(rows.map(({ index }) => index)).toEqual(Array.from({ length: 30 }, (_, i) => 7 * (i + 1)));
  expect(changed).toEqual([]);
  // All there are, where they are not so many.
  expect((await first([path], 64)).rows).toHaveLength(42);
  await expect(first([path, missing], 64)).rejects.toMatchObject({ code: 'file-missing' });
});

test('files that are not those of a version are named, read or not', async () => {
  const paths = [file('one.jsonl', [row(1, 2)]), file('two.jsonl', [row(3, 4)])];
  const hashes = Object.fromEntries(paths.map((path) => [path, 'another']));
  expect((await firstRows({ paths, hashes }, model, null, { count: 1 }, silentPort)).changed).toEqual(paths);
});
