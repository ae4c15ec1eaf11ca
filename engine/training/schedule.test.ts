import { expect, test } from 'vitest';
import { learningRate, scheduleOf } from './schedule.ts';

const recipe = { learningRate: 1e-3, schedule: 'linear', warmupSteps: 2, warmupRatio: 0 } as const;

test('the plan of a run is its rates step by step, thinned when it is long', () => {
  expect(scheduleOf(recipe, 6).map((row) => row.learningRate)).toEqual([0, 0.0005, 0.001, 0.00075, 0.0005, 0.00025]);
  const long = scheduleOf(recipe, 10_001, 100);
  expect(long.length).toBeLessThanOrEqual(101);
  expect(long[0]).toEqual({ step: 1, learningRate: 0 });
  expect(long.at(-1)).toEqual({ step: 10_001, learningRate: learningRate(recipe, 10_000, 10_001) });
});

test('a warm-up given as a share of all steps is rounded up and counts instead of the number of steps', () => {
  const rates = (warmupRatio: number, steps: number) =>
    scheduleOf({ ...recipe, warmupRatio }, steps).map((row) => row.learningRate);
  expect(rates(0.25, 6)).toEqual(rates(0, 6));
  expect(rates(0.5, 6)[1]).toBeCloseTo(1e-3 / 3);
});
