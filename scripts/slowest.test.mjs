import path from 'node:path';
import { expect, it } from 'vitest';
import { root } from './setup.mjs';
import { slowestTests } from './slowest.mjs';

const unit = (...milliseconds) => ({
  testResults: [
    {
      name: path.join(root, 'engine', 'a.test.ts'),
      assertionResults: milliseconds.map((duration, index) => ({ duration, fullName: `test ${index}` })),
    },
  ],
});

it('names unit tests and journeys together, the slowest first', () => {
  const spec = { file: 'run.spec.ts', title: 'a run', tests: [{ results: [{ duration: 1500 }, { duration: 700 }] }] };
  const journeys = { suites: [{ specs: [], suites: [{ specs: [spec] }] }] };
  expect(slowestTests({ unit: unit(100, 12_300), journeys })).toEqual([
    '  12.3 s  engine/a.test.ts: test 1',
    '   2.2 s  e2e/run.spec.ts: a run',
    '   0.1 s  engine/a.test.ts: test 0',
  ]);
});

it('names ten at most, and passes over tests that were not run', () => {
  expect(slowestTests({ unit: unit(...Array.from({ length: 30 }, (_, index) => index)), journeys: null })).toHaveLength(10);
  expect(slowestTests({ unit: unit(undefined), journeys: null })).toEqual(['   0.0 s  engine/a.test.ts: test 0']);
  expect(slowestTests({ unit: null, journeys: null })).toEqual([]);
});
