import { expect, test } from 'vitest';
import { smooth } from './smooth.ts';

test('a constant stays what it is from the first point on', () => {
  expect(
    smooth(
      [
        [1, 3],
        [2, 3],
        [3, 3],
      ],
      0.8,
    ).map(([, y]) => Number(y.toFixed(12))),
  ).toEqual([3, 3, 3]);
});

test('the mean weighs the newest most and steps over what is not finite', () => {
  const [first, second, third] = smooth(
    [
      [0, 1],
      [1, 2],
      [2, Number.NaN],
    ],
    0.5,
  );
  expect(first).toEqual([0, 1]);
  expect(second![1]).toBeCloseTo((0.5 * 1 + 2) / 1.5, 12);
  expect(third).toEqual([2, second![1]]);
});
