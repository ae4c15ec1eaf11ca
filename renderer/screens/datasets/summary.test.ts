import { expect, test } from 'vitest';
import { summary } from './summary.ts';

const version = { format: 'messages', trainRows: 2, evalRows: 0, sequence: 3 } as const;
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

test('a file is called by its format, unless none of its rows can be used', () => {
  expect(summary(version, null)).toBe('Chat messages · 2 rows to train, 0 to evaluate · version 3');
  expect(summary(version, { examples: 2 })).toContain('Chat messages');
  expect(plain(summary(version, { examples: 0 }))).toBe('No usable row among 2 rows · version 3');
});
