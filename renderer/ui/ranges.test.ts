import { expect, test } from 'vitest';
import { ranges } from './ranges.ts';

test('neighbours become one range', () => {
  expect(ranges([0, 1, 2, 3, 7, 20, 21])).toBe('0–3, 7, 20–21');
  expect(ranges([])).toBe('none');
});
