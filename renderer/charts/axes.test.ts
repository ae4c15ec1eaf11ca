import { expect, test } from 'vitest';
import { hasPoints, isWhole } from './axes.ts';
import type { Point } from './smooth.ts';

const curve = (...points: Point[]) => ({ points });

test('an axis of steps has no ticks between two steps, one of epochs or seconds may', () => {
  expect(isWhole([curve([0, 2.5], [1, 2.1]), curve()])).toBe(true);
  expect(isWhole([curve([0, 2.5], [0.25, 2.1])])).toBe(false);
});

test('curves without a point have no axes', () => {
  expect(hasPoints([curve(), curve()])).toBe(false);
  expect(hasPoints([curve(), curve([0, 2.5])])).toBe(true);
});
