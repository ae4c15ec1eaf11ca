import { expect, test } from 'vitest';
import { summary } from './summary.ts';

const version = { format: 'messages', mix: null, trainRows: 2, evalRows: 0, sequence: 3 } as const;
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

test('a file is called by its format, unless none of its rows can be used', () => {
  expect(plain(summary(version, null))).toBe('Chat messages · 2 rows to train, 0 to evaluate · version 3');
  expect(plain(summary({ ...version, trainRows: 1 }, null))).toContain('1 row to train, 0 to evaluate');
  expect(summary(version, { examples: 2 })).toContain('Chat messages');
  expect(plain(summary(version, { examples: 0 }))).toBe('No usable row among 2 rows · version 3');
});

test('a mix says of how many data sets it is', () => {
  const part = { name: 'orders', data: { paths: ['/orders.jsonl'] }, repeat: 1 };
  const mixed = { ...version, mix: { parts: [part, { ...part, name: 'faq' }], seed: 0 } };
  expect(plain(summary(mixed, null))).toBe('Mix of 2 data sets · 2 rows to train, 0 to evaluate · version 3');
});
