import { expect, test } from 'vitest';
import { mergeByStep } from './merge-by-step.ts';

const rows = (...steps: number[]) => steps.map((step) => ({ step, from: 'answer' }));

test('new steps are appended and the list that had them keeps its identity when nothing came', () => {
  const known = rows(1, 2);
  expect(mergeByStep(known, [])).toBe(known);
  expect(mergeByStep(known, rows(3, 4)).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
});

test('a step that comes twice counts once, the newest wins, and the order stays', () => {
  const events = [
    { step: 2, from: 'event' },
    { step: 4, from: 'event' },
  ];
  const merged = mergeByStep(rows(1, 2, 3), events);
  expect(merged.map(({ step, from }) => `${step} ${from}`)).toEqual(['1 answer', '2 event', '3 answer', '4 event']);
});

test('rows out of order are sorted', () => {
  expect(mergeByStep([], rows(3, 1, 2)).map(({ step }) => step)).toEqual([1, 2, 3]);
});
