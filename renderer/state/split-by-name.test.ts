import { expect, test } from 'vitest';
import { splitByName } from './split-by-name.ts';

test('files named for evaluation are kept apart, folders and parts of words do not count', () => {
  expect(splitByName(['/eval/train.jsonl', '/d/orders-eval.jsonl', 'C:\\d\\orders.test.jsonl', '/d/latest.jsonl'])).toEqual({
    trainPaths: ['/eval/train.jsonl', '/d/latest.jsonl'],
    evalPaths: ['/d/orders-eval.jsonl', 'C:\\d\\orders.test.jsonl'],
  });
});

test('a single file is trained on, whatever its name', () => {
  expect(splitByName(['/d/test.jsonl'])).toEqual({ trainPaths: ['/d/test.jsonl'], evalPaths: [] });
});
