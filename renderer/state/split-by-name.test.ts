import { expect, test } from 'vitest';
import { nameByPath, splitByName } from './split-by-name.ts';

test('files named for evaluation are kept apart, folders and parts of words do not count', () => {
  expect(splitByName(['/eval/train.jsonl', '/d/orders-eval.jsonl', 'C:\\d\\orders.test.jsonl', '/d/latest.jsonl'])).toEqual({
    paths: ['/eval/train.jsonl', '/d/latest.jsonl'],
    evalPaths: ['/d/orders-eval.jsonl', 'C:\\d\\orders.test.jsonl'],
  });
});

test('a single file is trained on, whatever its name', () => {
  expect(splitByName(['/d/test.jsonl'])).toEqual({ paths: ['/d/test.jsonl'], evalPaths: [] });
});

test('a data set is called after what tells it from others', () => {
  expect(nameByPath('/d/orders.train.jsonl')).toBe('orders');
  expect(nameByPath('/d/orders.train.csv.gz')).toBe('orders');
  expect(nameByPath('/d/orders.zip')).toBe('orders');
  expect(nameByPath('/d/orders_training.json')).toBe('orders');
  expect(nameByPath('/home/me/support-2026/train.jsonl')).toBe('support-2026');
  expect(nameByPath('C:\\data\\Brain trains v7.jsonl')).toBe('Brain trains v7');
  expect(nameByPath('/train.jsonl')).toBe('train');
  expect(nameByPath('/d/\u202egnp.exe.csv')).toBe('gnp.exe');
});
