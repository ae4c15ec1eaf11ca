import { expect, test } from 'vitest';
import { pixelsAbove, rowsInSight, scrolledHeight, scrollTopFor } from './long-list.ts';

const size = (rows: number) => ({ rows, row: 44, view: 600 });

test('a list of a few rows scrolls pixel by pixel', () => {
  expect(scrolledHeight(size(100))).toBe(4400);
  expect(pixelsAbove(440, size(100))).toBe(440);
  expect(rowsInSight(440, size(100))).toEqual({ from: 4, to: 30, top: 176 });
  expect(rowsInSight(0, size(3))).toEqual({ from: 0, to: 3, top: 0 });
  expect(rowsInSight(0, size(0))).toEqual({ from: 0, to: 0, top: 0 });
});

test.each([1_000_000, 30_000_000])('every one of %i rows can be scrolled to, and the last is at the end of the bar', (rows) => {
  const height = scrolledHeight(size(rows));
  expect(height).toBeLessThan(16_000_000);
  const end = rowsInSight(height - 600, size(rows));
  expect(end.to).toBe(rows);
  // The last row ends where what is scrolled ends.
  expect(end.top + (end.to - end.from) * 44).toBeCloseTo(height, 3);
  for (const row of [0, 1, 12_345, 899_999, rows - 2, rows - 1]) {
    const top = scrollTopFor(row, 0, size(rows));
    const { from, to, top: first } = rowsInSight(top, size(rows));
    expect(from <= row && row < to).toBe(true);
    const begin = first + (row - from) * 44;
    expect(begin).toBeGreaterThanOrEqual(top - 0.01);
    expect(begin + 44).toBeLessThanOrEqual(top + 600.01);
    expect(scrollTopFor(row, top, size(rows))).toBe(top);
  }
});

test('a neighbour of the rows in sight moves the list no further than it has to', () => {
  expect(scrollTopFor(14, 0, size(100))).toBe(60);
  expect(scrollTopFor(9, 440, size(100))).toBe(396);
});
