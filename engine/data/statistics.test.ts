/** The numbers of a data set are those that somebody who counts by hand comes to. */
import { expect, test } from 'vitest';
import { LanguageCounts } from './checks/language-counts.ts';
import { type TokenRow, unmarked } from './row.ts';
import { prefixTokens, RowStatistics } from './statistics.ts';

const row = (index: number, inputIds: readonly number[], turns?: number): TokenRow => ({
  ...{ index, mixPart: 0, copy: 0, file: 'rows.jsonl', line: index + 1, messages: null, text: '', ...unmarked },
  ...{ inputIds: Int32Array.from(inputIds), labels: Int32Array.from(inputIds) },
  said: turns === undefined ? null : { turns },
});
const ids = (length: number, from = 0) => Array.from({ length }, (_, t) => from + t);
const none = new LanguageCounts();

test('lengths and turns of rows are counted, and the longest and the shortest are named', () => {
  const statistics = new RowStatistics();
  // Row 4 cannot be used, and row 5 is two examples.
  statistics.add([row(0, ids(7), 2)]);
  statistics.add([row(1, ids(3), 2)]);
  statistics.add([row(2, ids(9), 4)]);
  statistics.add([row(3, ids(3))]);
  statistics.add([row(5, ids(4), 25), row(5, ids(12), 25)]);
  const languages = new LanguageCounts();
  for (const [language, index] of [
    ['en', 0],
    ['de', 1],
    ['en', 2],
  ] as const)
    languages.add(language, index);
  expect(statistics.report(languages, [])).toEqual({
    medianTokens: 7,
    p95Tokens: 12,
    longest: [5, 2, 0, 1, 3],
    shortest: [1, 3, 0, 2, 5],
    turns: [
      { turns: 2, rows: 2 },
      { turns: 4, rows: 1 },
      { turns: 20, rows: 1 },
    ],
    languages: [
      { name: 'English', rows: 2 },
      { name: 'German', rows: 1 },
    ],
    prefixes: [],
  });
});

test('a hundred of many rows are named', () => {
  const statistics = new RowStatistics();
  for (let i = 0; i < 1000; i++) statistics.add([row(i, ids(1 + ((i * 7) % 1000)))]);
  const { longest, shortest, medianTokens, p95Tokens } = statistics.report(none, []);
  const length = (i: number) => 1 + ((i * 7) % 1000);
  expect(longest.map(length)).toEqual(ids(100).map((i) => 1000 - i));
  expect(shortest.map(length)).toEqual(ids(100, 1));
  expect([medianTokens, p95Tokens]).toEqual([500, 950]);
});

test('beginnings that rows share are counted whatever comes after them, and those of short rows are not', () => {
  const statistics = new RowStatistics();
  const system = ids(prefixTokens, 100);
  const other = [...system.slice(0, -1), 7];
  const rows = [[...system, 1], ids(5), [...other, 1], system, ids(40, 9), [...other, 2], ids(5), [...system, 3, 4]];
  rows.forEach((inputIds, i) => statistics.add([row(i + 10, inputIds)]));
  expect(statistics.sharedPrefixes).toEqual([
    { row: 10, rows: 3 },
    { row: 12, rows: 2 },
  ]);
});

test('nothing is counted where there is no row', () => {
  const empty = { medianTokens: 0, p95Tokens: 0, longest: [], shortest: [], turns: [], languages: [], prefixes: [] };
  expect(new RowStatistics().report(none, [])).toEqual(empty);
});
