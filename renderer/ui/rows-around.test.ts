import { expect, test } from 'vitest';
import { rowsAround } from './rows-around.ts';

test('a long list makes what is looked at and what must be there, and nothing is lost between', () => {
  const { rows, after } = rowsAround(500, { from: 100, to: 103 }, [-1, 7, 101, 499]);
  expect(rows).toEqual([
    { index: 7, before: 7 },
    { index: 100, before: 92 },
    { index: 101, before: 0 },
    { index: 102, before: 0 },
    { index: 499, before: 396 },
  ]);
  expect(after).toBe(0);
  expect(rows.reduce((sum, { before }) => sum + before + 1, after)).toBe(500);
});

test('a list that has become shorter shows its end, and a short one all of it', () => {
  expect(rowsAround(30, { from: 100, to: 110 }, []).rows.map(({ index }) => index)).toEqual([
    20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
  ]);
  expect(rowsAround(3, { from: -20, to: 40 }, [2]).rows.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(rowsAround(0, { from: 0, to: 40 }, [-1])).toEqual({ rows: [], after: 0 });
});
